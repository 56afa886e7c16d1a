"""Forms in which events leave the log."""
