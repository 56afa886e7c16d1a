"""Rebuilding read models beside the live ones, and what is known of their state."""
