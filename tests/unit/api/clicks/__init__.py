"""Units of api.clicks."""
