"""The embedded profile: one machine, SQLite and memory-mapped files."""
