"""The resources of version 1 of the HTTP API."""
