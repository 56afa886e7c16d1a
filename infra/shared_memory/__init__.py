"""Memory-mapped files: the status page and the rings of home timelines."""
