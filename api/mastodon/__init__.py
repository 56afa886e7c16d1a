"""The Mastodon client API: thin routes over the same commands and queries as `/v1`."""
