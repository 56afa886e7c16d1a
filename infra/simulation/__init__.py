"""A world of people that drives a running server over HTTP, and what it measures there."""
