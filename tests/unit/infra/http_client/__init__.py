"""Requests of our own over HTTP."""
