"""Pages: their HTML, and the templates of those that are made on the server."""
