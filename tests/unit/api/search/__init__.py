"""Units of api.search."""
