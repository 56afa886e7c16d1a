"""The log as tables that DuckDB answers questions about."""
