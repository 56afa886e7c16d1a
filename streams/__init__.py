"""Moving events into views: the batch step and everything that runs it."""
