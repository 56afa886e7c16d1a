"""The outside world and the assembly: settings, wiring, entry points. Nobody imports it."""
