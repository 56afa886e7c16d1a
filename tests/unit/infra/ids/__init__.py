"""Units of infra.ids."""
