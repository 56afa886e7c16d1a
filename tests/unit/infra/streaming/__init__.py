"""Units of infra.streaming."""
