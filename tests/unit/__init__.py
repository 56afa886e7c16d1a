"""Behaviour of one module at a time."""
