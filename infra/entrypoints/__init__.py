"""What operating-system processes start with."""
