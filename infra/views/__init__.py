"""Adapters of the read store and of the home timelines, one technology a file."""
