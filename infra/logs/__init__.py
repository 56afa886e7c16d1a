"""Adapters of the event log, one technology a file."""
