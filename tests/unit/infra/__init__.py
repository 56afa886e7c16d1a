"""Units of infra."""
