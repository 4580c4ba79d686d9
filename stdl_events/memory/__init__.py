"""Memory of a training step: exact metering without a GPU, breakdown, and planning within a budget."""
