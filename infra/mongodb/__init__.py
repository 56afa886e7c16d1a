"""MongoDB: read models, accounts and leases of the streaming profile."""
