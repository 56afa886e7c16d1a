"""Shared by many tests: worlds, doubles, processes."""
