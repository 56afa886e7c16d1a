"""Faults of a file that are answered to clients and must be said to operators, too.

A full disk refuses every command for as long as it is full. The answer tells a client to try again;
the operator has to learn from the output which file it is and why, but not a thousand times a
second.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

REPEAT_SECONDS: Final = 60.0
"""While a fault lasts, it is said at most so often."""

_logger = logging.getLogger(__name__)


class FileFault:
    """What is wrong with a file, as the last try to use it showed. Any thread may use it."""

    def __init__(self, file: Path | str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._said_at: float | None = None
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """The reason without the file's name; None while nothing is wrong."""
        return self._reason

    def enter(self, error: Exception) -> None:
        """The file could not be used. The output names it, at most once a minute."""
        with self._lock:
            self._reason = str(error)
            now = self._monotonic()
            if self._said_at is not None and now - self._said_at < REPEAT_SECONDS:
                return
            self._said_at = now
        _logger.error("%s can't be used: %s", self._file, error)

    def clear(self) -> None:
        """The file was used without a fault."""
        if self._reason is None:
            return
        with self._lock:
            self._reason = None
        _logger.info("%s can be used again", self._file)
