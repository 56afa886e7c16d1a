"""Tests of `infra.smtp`."""
