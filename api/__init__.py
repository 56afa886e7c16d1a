"""Commands and queries over HTTP."""
