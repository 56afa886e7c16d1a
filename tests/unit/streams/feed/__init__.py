"""Units of streams.feed."""
