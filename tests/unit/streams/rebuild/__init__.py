"""Units of streams.rebuild."""
