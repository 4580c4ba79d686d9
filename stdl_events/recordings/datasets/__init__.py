"""One file for each layout of a dataset, and the parts that they share."""
