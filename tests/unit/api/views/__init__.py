"""Units of api.views."""
