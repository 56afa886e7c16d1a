"""Units of api.accounts."""
