"""HTTP itself: requests, responses, errors, tokens, metrics."""
