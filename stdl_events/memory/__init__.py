"""Memory of a training step: metered exactly without a GPU, explained, and planned for."""
