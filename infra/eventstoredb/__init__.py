"""EventStoreDB (KurrentDB) as the log of record, through the package `eventstoredb`."""
