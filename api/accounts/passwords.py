"""Password hashes, and a limit on guessing them.

A hash (argon2id) takes tens of megabytes and milliseconds by design, so few are computed at a time,
in threads: a crowd that signs in at once can't take all memory and every core.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api.accounts.errors import TooManyHashes, TooManyTries

MAX_CONCURRENT: Final = 2

MAX_WAITING: Final = 256
"""Callers that may wait for a hash, some ten seconds at most; the next ones are refused."""

MAX_FAILURES: Final = 10
WINDOW_MS: Final = 5 * 60 * 1000
_MAX_TRACKED: Final = 10_000


class BoundedPasswordHasher:
    """Hashes and checks passwords off the event loop. Raises `TooManyHashes` under overload."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._waiting = 0
        self._decoy_hash = self._hasher.hash("a password of no account")

    async def hash(self, password: str) -> str:
        """The hash to store; it holds its salt and cost."""
        async with self._hashing_slot():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether this is the password. Takes as long where there is no hash to compare with."""
        async with self._hashing_slot():
            compared = password_hash or self._decoy_hash
            right = await asyncio.to_thread(self._verify, compared, password)
        return right and password_hash is not None

    @asynccontextmanager
    async def _hashing_slot(self) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            message = "too many people sign in at the moment: try again in a few seconds"
            raise TooManyHashes(message)
        self._waiting += 1
        try:
            async with self._slots:
                yield
        finally:
            self._waiting -= 1

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


class LoginThrottle:
    """Lets `MAX_FAILURES` wrong passwords through per handle and address in each window.

    In memory, so each API process counts for itself and N workers let N times as many through; the
    cost of a password hash is what really limits guessing.
    """

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._failures: dict[tuple[str, str], tuple[int, int]] = {}  # (count, the window's end)

    def check(self, handle: str, address: str) -> None:
        """Raises `TooManyTries` where too many passwords were wrong."""
        count, ends = self._failures.get((handle, address), (0, 0))
        left_ms = ends - self._clock_ms()
        if count >= MAX_FAILURES and left_ms > 0:
            raise TooManyTries(left_ms // 1000 + 1)

    def record_failure(self, handle: str, address: str) -> None:
        """Count a wrong password."""
        now = self._clock_ms()
        key = (handle, address)
        count, ends = self._failures.pop(key, (0, 0))
        if ends <= now:
            count, ends = 0, now + WINDOW_MS
        while len(self._failures) >= _MAX_TRACKED:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = (count + 1, ends)

    def clear_failures(self, handle: str, address: str) -> None:
        """Start again at none, after the right password."""
        self._failures.pop((handle, address), None)
