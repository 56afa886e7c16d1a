"""Shared by tests that need real engines."""
