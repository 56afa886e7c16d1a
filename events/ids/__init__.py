"""Snowflake ids: their layout, and the generators for new and for imported data."""
