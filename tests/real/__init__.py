"""Real data sets, imported and counted."""
