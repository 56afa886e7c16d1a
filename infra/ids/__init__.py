"""Leases of machine ids, and the generator that holds one."""
