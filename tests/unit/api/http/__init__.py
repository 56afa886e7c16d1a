"""Units of api.http."""
