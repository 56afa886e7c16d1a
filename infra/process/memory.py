"""How a process of ours uses memory otherwise than Python and the C library would by themselves.

Each function is called once, when the process starts.
"""

import ctypes
import gc
from typing import Final

_TRIM_THRESHOLD: Final = -1
_TOP_PAD: Final = -2
_MMAP_THRESHOLD: Final = -3
"""The names of options in glibc's `malloc.h`."""

_KEPT_BYTES: Final = 64 << 20
_GROW_BYTES: Final = 16 << 20


def keep_freed_memory() -> None:
    """Have the C library keep up to 64 MiB that are free, and ask for 16 MiB at a time.

    A relay makes buffers of up to half a megabyte and drops them again, hundreds of times a
    second. The C library would give their memory back to the system each time and ask for it at
    once, and the system would fill every page with zeros: a fifth of the relay's time. Nothing
    happens where the C library has no such options.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_TOP_PAD, _GROW_BYTES)


def collect_no_garbage() -> None:
    """For a process that loads a view and ends: a batch leaves no cycles, and looking for them
    takes a tenth of the time."""
    gc.disable()


def collect_garbage_rarely() -> None:
    """For a process that applies batches as long as it runs: a batch makes many
    objects and no cycles. Worth about 7 %."""
    gc.set_threshold(100_000, 50, 100)


def freeze_started_program() -> None:
    """For an API process: leave out of every collection what it is made of.

    Requests leave next to no cycles behind, and what the program is made of and what it caches
    stays: looking through it at the usual pace took a twentieth of the process's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
