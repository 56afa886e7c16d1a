"""Webhooks: what happens in a user's world, sent to an address that the user names."""
