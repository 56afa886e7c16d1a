"""Tests of `api.oauth`."""
