"""The wall clock of this machine, which the core never reads itself."""

import time


def clock_ms() -> int:
    """Now, in Unix milliseconds."""
    return time.time_ns() // 1_000_000
