"""Password hashes, and passwords that are too common for one.

A hash (argon2id) takes tens of megabytes and milliseconds by design, so few are computed at a time,
in threads of low priority: a crowd that signs in at once can't take all memory and every core.
"""

import asyncio
import os
import sys
import threading
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION

from api.accounts.hashing_queue import ANY_CALLER, HashCaller, HashingQueue
from commands.errors import InvalidInput

MAX_CONCURRENT: Final = max(1, (os.cpu_count() or 1) // 2)

MAX_WAITING: Final = 256
"""Callers that may wait for a hash, some ten seconds at most; the next ones are refused."""

_NICENESS: Final = 10

FEWEST_CHARACTERS: Final = 3
"""Different ones that a password must have."""

T = TypeVar("T")


class BoundedPasswordHasher:
    """Hashes and checks passwords off the event loop.

    Under overload its methods raise `TooManyHashes`, and `CallerLeft` where a caller's client
    disconnected while it waited.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._queue = HashingQueue(MAX_CONCURRENT, MAX_WAITING)
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT, "hashing", _lower_priority)
        self._decoy_hash = decoy_hash(self._hasher)

    async def hash(self, password: str, caller: HashCaller = ANY_CALLER) -> str:
        """The hash to store; it holds its salt and cost."""
        return await self._in_turn(caller, lambda: self._hasher.hash(password))

    async def matches(
        self, password_hash: str | None, password: str, caller: HashCaller = ANY_CALLER
    ) -> bool:
        """Whether this is the password. Takes as long where there is no hash to compare with."""
        compared = password_hash or self._decoy_hash
        right = await self._in_turn(caller, lambda: self._verify(compared, password))
        return right and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether a hash was made with other parameters than new ones are."""
        return self._hasher.check_needs_rehash(password_hash)

    async def _in_turn(self, caller: HashCaller, work: Callable[[], T]) -> T:
        async with self._queue.turn(caller):
            done = asyncio.get_running_loop().run_in_executor(self._threads, work)
            try:
                return await asyncio.shield(done)
            except asyncio.CancelledError:
                await asyncio.wait({done})  # the turn lasts as long as its thread is at work
                raise

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


def decoy_hash(hasher: PasswordHasher) -> str:
    """What looks like a hash of this hasher and is of no password: to compare a password with it
    takes as long as with any. To compute one would take each process a fifth of a second when it
    starts.
    """
    salt, digest = (
        b64encode(os.urandom(length)).decode().rstrip("=")
        for length in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={ARGON2_VERSION}${cost}${salt}${digest}"


def _lower_priority() -> None:
    """In a thread: let the event loop go before it. On Linux threads have priorities."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def is_common(password: str) -> bool:
    """Whether a password, in any case and with any blanks around it, is one of the 30,000 most
    common ones, or has too few different characters."""
    folded = password.strip().casefold()
    return len(set(folded)) < FEWEST_CHARACTERS or folded in _most_common()


@cache
def _most_common() -> frozenset[str]:
    # Imported when it is first needed: it takes 13 MB and 80 ms.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(FREQUENCY_LISTS["passwords"])


def require_uncommon(password: str | None) -> None:
    """Raises `InvalidInput` where a password is one of those that are tried first."""
    if password is not None and is_common(password):
        message = "this password is one of those that are tried first; choose another"
        raise InvalidInput("password-common", message)
