"""Several runs: sweeps over settings and seeds, and comparisons of runs."""
