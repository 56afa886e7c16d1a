"""Units of api."""
