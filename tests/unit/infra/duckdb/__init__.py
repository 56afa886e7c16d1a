"""Units of infra.duckdb."""
