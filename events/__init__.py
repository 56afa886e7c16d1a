"""What happened: event types, ids, codec and the log port. Imports nothing of ours."""
