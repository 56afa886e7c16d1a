"""OAuth 2: apps, the page on which users let them in, and the tokens that they get."""
