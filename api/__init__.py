"""The door: commands and queries over HTTP."""
