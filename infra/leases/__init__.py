"""Machine ids on lease: the port and what stands on it, and one file for each store."""
