"""Units of infra.wiring."""
