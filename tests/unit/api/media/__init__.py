"""Units of api.media."""
