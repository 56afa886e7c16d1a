"""What Starling promises, as runnable sentences."""
