"""Password hashes: argon2id in threads, a few at a time.

One hash takes tens of megabytes and milliseconds by design; the bound keeps a crowd that signs in
at once from taking all memory and every core.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api.http.errors import RETRY_AFTER, RequestRefused

MAX_CONCURRENT: Final = 2

MAX_WAITING: Final = 256
"""So many may wait for their turn, some ten seconds; who comes then is sent away."""


class BoundedPasswordHasher:
    """Hashes and checks passwords off the event loop. Raises `RequestRefused` (503) under siege."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._waiting = 0
        self._decoy_hash = self._hasher.hash("a password that nobody has")

    async def hash(self, password: str) -> str:
        """The hash to keep; it holds its salt and cost."""
        async with self._hashing_slot():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, kept: str | None, password: str) -> bool:
        """Whether this is the password. Takes as long where there is no hash to compare with."""
        async with self._hashing_slot():
            right = await asyncio.to_thread(self._verify, kept or self._decoy_hash, password)
        return right and kept is not None

    @asynccontextmanager
    async def _hashing_slot(self) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            message = "too many people sign in at the moment: try again in a few seconds"
            raise RequestRefused(503, "busy", message, RETRY_AFTER)
        self._waiting += 1
        try:
            async with self._slots:
                yield
        finally:
            self._waiting -= 1

    def _verify(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False
