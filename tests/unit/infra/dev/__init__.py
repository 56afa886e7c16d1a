"""Units of infra.dev."""
