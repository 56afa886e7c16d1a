"""Units of projections.home."""
