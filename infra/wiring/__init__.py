"""Puts adapters together by the settings: the profile, and what API processes and imports need."""
