"""Tests that need an outside engine."""
