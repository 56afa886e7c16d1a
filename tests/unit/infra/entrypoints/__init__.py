"""Units of infra.entrypoints."""
