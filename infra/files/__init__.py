"""Small files that are replaced as a whole."""
