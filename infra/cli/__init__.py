"""The commands of the program `starling`: one file for each group. Light to import.

A command imports what it works with when it runs, so that `starling --help` answers at once.
"""
