"""A brake on guessing passwords: failures per handle and address, in memory.

Each API process counts for itself, so the bound on a server with N workers is N times as high; the
cost of a password hash is what really limits guessing.
"""

from collections.abc import Callable
from typing import Final

from api.http.errors import RequestRefused

MAX_FAILURES: Final = 10
WINDOW_MS: Final = 5 * 60 * 1000
_MAX_TRACKED: Final = 10_000


class LoginThrottle:
    """Lets `TRIES` failures through in each window of five minutes."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._failures: dict[tuple[str, str], tuple[int, int]] = {}  # (count, the window's end)

    def check(self, handle: str, address: str) -> None:
        """Raises `RequestRefused` (429) where too many tries failed."""
        count, ends = self._failures.get((handle, address), (0, 0))
        left_ms = ends - self._clock_ms()
        if count >= MAX_FAILURES and left_ms > 0:
            seconds = left_ms // 1000 + 1
            raise RequestRefused(
                429,
                "too-many-tries",
                f"too many failed tries to sign in: wait {seconds} seconds and try again",
                [(b"retry-after", str(seconds).encode())],
            )

    def record_failure(self, handle: str, address: str) -> None:
        """Count a failure."""
        now = self._clock_ms()
        key = (handle, address)
        count, ends = self._failures.pop(key, (0, 0))
        if ends <= now:
            count, ends = 0, now + WINDOW_MS
        while len(self._failures) >= _MAX_TRACKED:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = (count + 1, ends)

    def clear_failures(self, handle: str, address: str) -> None:
        """Forget the failures."""
        self._failures.pop((handle, address), None)
