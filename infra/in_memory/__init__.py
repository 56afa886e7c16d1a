"""Adapters that keep everything in the memory of one process."""
