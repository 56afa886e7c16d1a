"""Units of events."""
