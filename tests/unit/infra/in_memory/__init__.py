"""Units of infra.in_memory."""
