"""A limit on guessing passwords, counted for all API processes together.

The library `limits` counts; its storage is the profile's: a SQLite file on one machine
(`infra.sqlite.rate_limits`), a collection where several machines answer (the library's own for
MongoDB). A try counts before its password is looked at, so that many guesses sent at once are no
more than one after the other; the right password forgets the tries before it.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Final, TypeVar

from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from api.accounts.errors import AccountsUnavailable, TooManyTries

MAX_FAILURES: Final = 10
WINDOW_SECONDS: Final = 5 * 60
_LIMIT: Final = RateLimitItemPerMinute(MAX_FAILURES, WINDOW_SECONDS // 60, namespace="sign-in")

T = TypeVar("T")


class LoginThrottle:
    """Lets `MAX_FAILURES` wrong passwords through per handle and address in each window.

    A window begins with the first try. `storage` must wrap its errors; None lets everything
    through.
    """

    def __init__(self, storage: Storage | None, clock: Callable[[], float] = time.time) -> None:
        """`clock` is the storage's, in Unix seconds."""
        self._limiter = FixedWindowRateLimiter(storage) if storage is not None else None
        self._clock = clock

    async def count_try(self, handle: str, address: str) -> None:
        """Count a try to be made. Raises `TooManyTries`, `AccountsUnavailable`."""
        if (limiter := self._limiter) is None:
            return
        name = _stored_name(handle, address)

        def hit() -> float | None:
            """When the window ends; None where the try may be made."""
            if limiter.hit(_LIMIT, name):
                return None
            return limiter.get_window_stats(_LIMIT, name).reset_time

        ends = await _in_thread(hit)
        if ends is not None:
            raise TooManyTries(int(max(0.0, ends - self._clock())) + 1)

    async def forget_tries(self, handle: str, address: str) -> None:
        """Start again at none, after the right password. Raises `AccountsUnavailable`."""
        if (limiter := self._limiter) is not None:
            await _in_thread(lambda: limiter.clear(_LIMIT, _stored_name(handle, address)))


def _stored_name(handle: str, address: str) -> str:
    """A digest: the storage holds no network addresses, and its keys have one length."""
    return hashlib.blake2b(f"{address} {handle}".encode(), digest_size=16).hexdigest()


async def _in_thread(work: Callable[[], T]) -> T:
    """Storages wait for a disk or a network."""
    try:
        return await asyncio.to_thread(work)
    except StorageError as error:
        raise AccountsUnavailable(f"counts of failed tries: {error.storage_error}") from error
