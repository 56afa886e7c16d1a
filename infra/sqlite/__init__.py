"""SQLite: the log of record, read models, accounts and leases of the embedded profile."""
