"""Tests of `infra.eventstoredb`."""
