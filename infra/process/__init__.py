"""Processes of one machine: locks, notifications, children."""
