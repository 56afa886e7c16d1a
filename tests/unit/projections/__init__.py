"""Each projection by its rows: given these events, expect these rows."""
