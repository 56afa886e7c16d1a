"""Requests that Starling itself makes over HTTP."""
