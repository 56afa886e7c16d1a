"""Tests of `infra.images`."""
