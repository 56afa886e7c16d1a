"""Events leaving the log: selections, formats, files that are gone on with."""
