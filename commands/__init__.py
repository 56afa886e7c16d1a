"""What may happen: pure deciders and the handler that appends what they decide."""
