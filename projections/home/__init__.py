"""Home timelines: the ports, the merge on read and the caches of the hottest query."""
