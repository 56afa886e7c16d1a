"""How much of a long trial is done: a bounded part in `make test`, all of it in `make soak`.

`SOAK=1` asks for all. `SOAK_MINUTES` (30) is when trials that are still running stop, and say so.
"""

import os
import time
from collections.abc import Iterator
from typing import Final

WHOLE: Final = os.environ.get("SOAK") == "1"

_ENDS_AT: Final = time.monotonic() + 60 * float(os.environ.get("SOAK_MINUTES", "30"))


def time_is_over() -> bool:
    """Whether a soak has used up its minutes."""
    return WHOLE and time.monotonic() > _ENDS_AT


def seeds(bounded: int, whole: int) -> Iterator[int]:
    """Numbers from 0, one a trial. Ends early, with a warning, when the soak's time is over."""
    wanted = amount(bounded, whole)
    for seed in range(wanted):
        if time_is_over():
            print(f"the time is over after {seed:,} of {wanted:,} trials")  # noqa: T201
            return
        yield seed


def amount(bounded: int, whole: int) -> int:
    """How many: so many in `make test`, so many in `make soak`."""
    return whole if WHOLE else bounded
