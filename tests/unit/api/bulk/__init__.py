"""Units of api.bulk."""
