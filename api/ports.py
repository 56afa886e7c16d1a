"""Everything the API needs from elsewhere, in one bundle; `infra.wiring` fills it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from api.accounts import Accounts
from api.auth import Tokens
from api.passwords import Passwords
from api.schemas import Projected, Rebuild
from commands.handle import Handler
from commands.references import References
from events.log import EventLog
from projections.home import Home
from projections.store import ReadStore, Views


class Lag(NamedTuple):
    """How far a projection is: its position, and the log's; by partition where there is a feed.

    Whoever should bring it further gave the last sign of life `silent` seconds ago; infinite where
    there was none yet.
    """

    projection: str
    position: int
    head: int
    silent: float = 0.0
    partitions: Mapping[int, int] = {}

    @property
    def behind(self) -> int:
        """Positions of the log that the projection has not seen yet."""
        return max(0, self.head - self.position)


class WaitFor(Protocol):
    """Waits until read models have seen a position of the log."""

    def __call__(
        self, projections: Collection[str], position: int, timeout: float, /
    ) -> Awaitable[bool]:
        """True once all of them have; False when `timeout` seconds pass first."""
        ...


class PastBusy(Exception):
    """The past can't be had within a request's patience; ask again."""


class Past(Protocol):
    """Read models as they were (`docs/adr/0023`)."""

    async def at(self, projections: Collection[str], ms: int) -> Mapping[str, ReadStore]:
        """The stores of some projections as of a time in Unix ms, by their names.

        They are for reading right away: none of their methods waits, and after the next wait for
        anything else they may be closed. Raises `PastBusy`, `StoreError`.
        """
        ...


class Operations(Protocol):
    """What an operator sees and does; everything raises `Refused` where it can't be done here."""

    async def projections(self) -> Sequence[Projected]:
        """Where each projection stands."""
        ...

    async def order(
        self, what: Literal["rebuild", "pause", "resume"], projection: str, verify: bool = False, /
    ) -> None:
        """Have it done by whoever writes the views; a rebuild is only begun."""
        ...

    async def cancel(self, projection: str, /) -> bool:
        """Take a rebuild back; False where there is none."""
        ...

    async def rebuild(self, projection: str, /) -> Rebuild | None:
        """How far a rebuild is; None where there is none."""
        ...

    async def view(self, projection: str, /) -> str:
        """The name of the current view."""
        ...

    async def outgrown(self) -> Mapping[str, int]:
        """Views that another version of the program made, and the positions where they stay."""
        ...

    async def dead_letters(self) -> Mapping[str, int]:
        """How many events each projection could not take, for those where there are any."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside of the API.

    `changes` gives the keys touched since it was last asked (`projections.touched`), or None where
    everything cached must go; the API is its only caller. `importing` opens a source of ids at
    given times (Unix ms), for as long as an import runs.
    """

    log: EventLog
    handler: Handler
    references: References
    views: Views
    past: Past
    home: Home
    accounts: Accounts
    tokens: Tokens
    clock_ms: Callable[[], int]
    new_id: Callable[[], int]
    importing: Callable[[], AbstractContextManager[Callable[[int], int]]]
    changes: Callable[[], Sequence[tuple[int, int]] | None]
    wait_for: WaitFor
    lag: Callable[[], Sequence[Lag]]
    operations: Operations
    ready_within: int = 10_000
    """Log positions that a projection may be behind while the server calls itself ready."""
    passwords: Passwords = field(default_factory=Passwords)
