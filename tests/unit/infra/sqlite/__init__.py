"""Units of infra.sqlite."""
