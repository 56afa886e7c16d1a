"""From the log of record to the feed, and back in the order of the log."""
