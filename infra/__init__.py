"""Settings, wiring, an adapter for each technology, the two profiles, entry points, the program."""
