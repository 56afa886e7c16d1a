"""Limits on guessing passwords, counted for all API processes together.

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

from limits import (
    RateLimitItem,
    RateLimitItemPerDay,
    RateLimitItemPerMinute,
    RateLimitItemPerMonth,
)
from limits.errors import StorageError
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from api.accounts.errors import AccountsUnavailable, TooManyTries

MAX_FAILURES: Final = 10
"""Of one account from one address in a window."""
MAX_ADDRESS_FAILURES: Final = 30
"""Of one address, whatever the accounts."""
MAX_ACCOUNT_FAILURES: Final = 100
"""Of one account, from all addresses that it did not sign in from."""
WINDOW_SECONDS: Final = 5 * 60
_MINUTES: Final = WINDOW_SECONDS // 60

MAX_UNASKED_MAILS: Final = 5
"""To one email address in a day, which its owner may not have asked for: accounts can be made and
deleted with an address of others."""

_PAIR: Final = RateLimitItemPerMinute(MAX_FAILURES, _MINUTES, namespace="sign-in")
_ADDRESS: Final = RateLimitItemPerMinute(MAX_ADDRESS_FAILURES, _MINUTES, "sign-in-address")
_ACCOUNT: Final = RateLimitItemPerMinute(MAX_ACCOUNT_FAILURES, _MINUTES, "sign-in-account")
_FAMILIAR: Final = RateLimitItemPerMonth(1, 1, "familiar")
"""No limit: it is counted up where an account signed in from an address, which lasts a month."""

_MAIL: Final = RateLimitItemPerDay(MAX_UNASKED_MAILS, 1, "unasked-mail")

T = TypeVar("T")


class LoginThrottle:
    """Lets so many wrong passwords through in each window: per account and address, per address,
    and per account.

    An account that signed in from an address lately is limited there by the first alone, so that
    others who guess can't keep its user out. A window begins with the first try. `storage` must
    wrap its errors; None lets everything through. Addresses are as `counted_address` gives them.
    """

    def __init__(self, storage: Storage | None, clock: Callable[[], float] = time.time) -> None:
        """`clock` is the storage's, in Unix seconds."""
        self._limiter = FixedWindowRateLimiter(storage) if storage is not None else None
        self._clock = clock

    async def count_try(self, account: str, address: str) -> bool:
        """Count a try to be made. Returns whether the account signed in from there lately.

        Raises `TooManyTries`, `AccountsUnavailable`.
        """
        if (limiter := self._limiter) is None:
            return False
        familiar, exceeded = await _in_thread(lambda: _count(limiter, account, address))
        if exceeded is not None:
            raise TooManyTries(int(max(0.0, exceeded - self._clock())) + 1)
        return familiar

    async def note_success(self, account: str, address: str, counted: bool = True) -> None:
        """The right password: take its try back, and know the account there from now on.

        `counted` says whether `count_try` was asked. Raises `AccountsUnavailable`.
        """
        if (limiter := self._limiter) is not None:
            await _in_thread(lambda: _note_success(limiter, account, address, counted))

    async def count_mail(self, email: str) -> bool:
        """Count a mail to be sent without being asked for. False where the address had its share.

        Raises `AccountsUnavailable`.
        """
        if (limiter := self._limiter) is None:
            return True
        name = _stored_name(email.casefold())
        return await _in_thread(lambda: limiter.hit(_MAIL, name))


def _count(
    limiter: FixedWindowRateLimiter, account: str, address: str
) -> tuple[bool, float | None]:
    """Whether the account is familiar there, and when the window of a limit ends that is
    exceeded; None where the try may be made.
    """
    pair = _stored_name(account, address)
    familiar = not limiter.test(_FAMILIAR, pair)
    limits: list[tuple[RateLimitItem, str]] = [(_PAIR, pair)]
    if not familiar:
        limits += [(_ADDRESS, _stored_name(address)), (_ACCOUNT, _stored_name(account))]
    for limit, name in limits:
        if not limiter.hit(limit, name):
            return familiar, limiter.get_window_stats(limit, name).reset_time
    return familiar, None


def _note_success(
    limiter: FixedWindowRateLimiter, account: str, address: str, counted: bool
) -> None:
    pair = _stored_name(account, address)
    familiar = not limiter.test(_FAMILIAR, pair)
    if counted:
        limiter.clear(_PAIR, pair)
        if not familiar:
            # Not cleared: an account of one's own must not give new guesses at others.
            limiter.hit(_ADDRESS, _stored_name(address), cost=-1)
            limiter.hit(_ACCOUNT, _stored_name(account), cost=-1)
    limiter.clear(_FAMILIAR, pair)
    limiter.hit(_FAMILIAR, pair)


def _stored_name(*parts: str) -> str:
    """A digest: the storage holds no network addresses, and its keys have one length."""
    return hashlib.blake2b(" ".join(parts).encode(), digest_size=16).hexdigest()


async def _in_thread(work: Callable[[], T]) -> T:
    """Storages wait for a disk or a network."""
    try:
        return await asyncio.to_thread(work)
    except StorageError as error:
        raise AccountsUnavailable(f"counts of failed tries: {error.storage_error}") from error
