"""Sources of live events, a module per source."""
