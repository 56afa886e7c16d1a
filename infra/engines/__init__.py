"""Local engines for tests and for `make up`."""
