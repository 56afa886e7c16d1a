"""Units of infra.simulation."""
