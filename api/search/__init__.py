"""Search: posts, people and hashtags by word, in an index that follows the log."""
