"""What it costs, measured beside its peers."""
