"""Units of streams."""
