"""Adapters of the feed that carries the log to stream processors."""
