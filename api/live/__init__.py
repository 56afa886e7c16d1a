"""What is told to connected readers as it happens."""
