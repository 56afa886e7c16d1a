"""Limits on rates of requests, by token and by address, counted for all API processes together.

Every request counts in this process, which costs a look into a dictionary. A process adds what it
counted to the profile's shared counts (`limits.storage.Storage`) once that is a fiftieth of a
limit, in a thread, and goes on from their sum. So requests wait for no disk and no network, and a
limit lets through at most a fiftieth more for each process (`docs/adr/0069`).
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import Storage

_logger = logging.getLogger(__name__)

ADDRESS_FACTOR: Final = 10
"""How many times more one address may send than one token: many people share an address."""

REPORTS_PER_WINDOW: Final = 50
"""How often a process adds to the shared counts until a limit is reached."""

_MAX_WINDOWS: Final = 16_384
"""Windows that a process keeps. Their names come from clients, so they are bounded."""


class RequestKind(StrEnum):
    """What is limited for itself. All but reads and writes are counted by address alone."""

    READ = "reads"
    WRITE = "writes"
    SIGN_IN = "sign-ins"
    SIGN_UP = "sign-ups"
    APP = "apps"
    EXPORT = "exports"


DEFAULT_RATES: Final[Mapping[RequestKind, str]] = {
    RequestKind.READ: "150000 per 5 minutes",
    RequestKind.WRITE: "60000 per 5 minutes",
    RequestKind.SIGN_IN: "30000 per 5 minutes",
    RequestKind.SIGN_UP: "30000 per 5 minutes",
    RequestKind.APP: "3000 per 5 minutes",
    RequestKind.EXPORT: "300 per 5 minutes",
}
"""Far more than people and their programs send; they stop a program that has gone wild."""


def read_rates(lines: Iterable[str]) -> dict[RequestKind, str]:
    """The defaults with those of some lines instead: `reads=300 per 5 minutes`.

    Raises `ValueError`, whose text says what would do.
    """
    rates = dict(DEFAULT_RATES)
    for line in lines:
        name, _, text = line.partition("=")
        try:
            rates[RequestKind(name.strip())] = text.strip()
            amount = parse(text.strip()).amount
        except ValueError:
            amount = 0
        if amount < 1:
            kinds = ", ".join(kind.value for kind in RequestKind)
            raise ValueError(f"must be such as 'reads=300 per 5 minutes', for any of {kinds}")
    return rates


class _Limit:
    """A limit: how many in how many seconds, and how many of them make a report."""

    def __init__(self, kind: RequestKind, by: str, text: str, factor: int = 1) -> None:
        item = parse(text)
        self.item: RateLimitItem = type(item)(
            item.amount * factor, item.multiples, namespace=f"{kind.value}-{by}"
        )
        self.amount = self.item.amount
        self.seconds = self.item.get_expiry()
        self.report_size = max(1, self.amount // REPORTS_PER_WINDOW)


class _Window:
    """What one client sent in the running window of a limit."""

    __slots__ = ("ends", "limit", "reporting", "reset", "unreported", "used")

    def __init__(self, limit: _Limit, ends: float) -> None:
        self.limit = limit
        self.used = 0
        """As far as this process knows."""
        self.unreported = 0
        """Those among them that the shared counts lack."""
        self.reporting = False
        self.end_at(ends)

    def end_at(self, ends: float) -> None:
        """Set the end of the window, in Unix seconds."""
        self.ends = ends
        text = datetime.fromtimestamp(ends, UTC).isoformat(timespec="milliseconds")
        self.reset = text.replace("+00:00", "Z")


class RateStanding(NamedTuple):
    """Where a client stands in a window: what is allowed, what is left, when it ends (RFC 3339).

    `retry_after` is None where the request may pass, else the seconds to wait.
    """

    limit: int
    remaining: int
    reset: str
    retry_after: int | None


class RequestLimits:
    """Counts requests against limits, which have the library's notation: `300 per 5 minutes`."""

    def __init__(
        self,
        storage: Storage,
        texts: Mapping[RequestKind, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`storage` wraps its errors; `clock` is its clock, in Unix seconds."""
        self._storage = storage
        self._clock = clock
        hot = (RequestKind.READ, RequestKind.WRITE)
        self._by_token = {kind: _Limit(kind, "token", texts[kind]) for kind in hot}
        self._by_address = {
            kind: _Limit(kind, "address", text, ADDRESS_FACTOR if kind in hot else 1)
            for kind, text in texts.items()
        }
        self._windows: dict[tuple[_Limit, bytes], _Window] = {}
        self._reports: set[asyncio.Task[None]] = set()

    def count(self, kind: RequestKind, token: bytes | None, address: bytes) -> RateStanding:
        """Count a request. The standing is the token's, or the address's where there is no token
        or where it is the one that is exceeded.
        """
        now = self._clock()
        shown = self._count_in(self._by_address[kind], address, now)
        if token is not None and shown.used <= shown.limit.amount and kind in self._by_token:
            shown = self._count_in(self._by_token[kind], token, now)
        left = shown.limit.amount - shown.used
        retry_after = None if left >= 0 else int(max(0.0, shown.ends - now)) + 1
        return RateStanding(shown.limit.amount, max(0, left), shown.reset, retry_after)

    async def finish_reports(self) -> None:
        """Wait for the reports that are under way."""
        await asyncio.gather(*self._reports)

    def _count_in(self, limit: _Limit, name: bytes, now: float) -> _Window:
        window = self._windows.get((limit, name))
        if window is None or window.ends <= now:
            self._make_room(now)
            window = self._windows[limit, name] = _Window(limit, now + limit.seconds)
        window.used += 1
        window.unreported += 1
        if window.unreported >= limit.report_size and not window.reporting:
            window.reporting = True
            task = asyncio.get_running_loop().create_task(self._report(window, name))
            self._reports.add(task)
            task.add_done_callback(self._reports.discard)
        return window

    def _make_room(self, now: float) -> None:
        if len(self._windows) < _MAX_WINDOWS:
            return
        self._windows = {key: one for key, one in self._windows.items() if one.ends > now}
        # The oldest half of many clients: their shared counts stay.
        if len(self._windows) >= _MAX_WINDOWS:
            for key in list(self._windows)[: _MAX_WINDOWS // 2]:
                del self._windows[key]

    async def _report(self, window: _Window, name: bytes) -> None:
        amount, item = window.unreported, window.limit.item
        # A digest: the storage holds neither tokens nor addresses.
        key = item.key_for(hashlib.blake2b(name, digest_size=16).hexdigest())

        def add() -> tuple[int, float]:
            total = self._storage.incr(key, window.limit.seconds, amount)
            return total, self._storage.get_expiry(key)

        try:
            total, ends = await asyncio.to_thread(add)
        except StorageError as error:
            # Each process limits by what it knows: to refuse all would be the worse failure.
            _logger.warning("rates are counted by process only: %s", error.storage_error)
        else:
            window.unreported -= amount
            window.used = total + window.unreported
            window.end_at(ends)
        finally:
            window.reporting = False
