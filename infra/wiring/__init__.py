"""The one place where adapters are chosen and put together."""
