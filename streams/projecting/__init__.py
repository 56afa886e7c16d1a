"""From the log or the feed into the tables of a projection."""
