"""Snowflake ids: how they are made, taken apart, and derived for imported data."""
