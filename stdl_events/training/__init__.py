"""Training: from a configuration to a run folder; resumable, repeatable, evaluated on held-out recordings."""
