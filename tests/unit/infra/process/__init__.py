"""Units of infra.process."""
