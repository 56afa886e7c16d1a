"""Units of infra.embedded."""
