"""Tests of `api.live`."""
