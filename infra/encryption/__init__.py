"""Personal texts: how they are sealed, and opened for readers."""
