"""Units of infra.cli."""
