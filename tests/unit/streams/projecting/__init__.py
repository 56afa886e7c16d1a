"""Units of streams.projecting."""
