"""Units of infra.deploy."""
