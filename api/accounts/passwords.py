"""Password hashes.

A hash (argon2id) takes tens of megabytes and milliseconds by design, so few are computed at a time,
in threads: a crowd that signs in at once can't take all memory and every core.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api.accounts.errors import TooManyHashes

MAX_CONCURRENT: Final = 2

MAX_WAITING: Final = 256
"""Callers that may wait for a hash, some ten seconds at most; the next ones are refused."""


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

    def is_outdated(self, password_hash: str) -> bool:
        """Whether a hash was made with other parameters than new ones are."""
        return self._hasher.check_needs_rehash(password_hash)

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
