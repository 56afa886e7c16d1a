"""Units of infra.shared_memory."""
