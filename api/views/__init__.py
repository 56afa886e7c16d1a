"""How posts and users look in JSON."""
