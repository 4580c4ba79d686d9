"""Tests of a trained network: held-out recordings, robustness, thresholds, and exported files."""
