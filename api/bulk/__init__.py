"""Many commands and registrations at once."""
