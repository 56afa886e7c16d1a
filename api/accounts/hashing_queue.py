"""Which password is hashed next: a queue that is bounded and fair, and that disconnects leave.

A hash costs by design, so a crowd that signs in with wrong passwords must not keep others waiting.
Callers that are known to be right (an account that signed in from its address lately, say) go
before strangers, who still get one turn in four. Within each of both, network addresses take turns,
so an address with a hundred requests delays one of another address by one hash. When the queue is
full, the newest request of the address with most of them gives way.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from api.accounts.errors import CallerLeft, TooManyHashes

_TURNS_OF_FAMILIAR: Final = 3
"""Before each turn of a stranger, while both wait."""

_FULL: Final = "too many people sign in at the moment: try again in a few seconds"

Turn = asyncio.Future[None]


class HashCaller(NamedTuple):
    """Who wants a hash: callers with one `lane` share their turns; `disconnected` returns when the
    client is gone.
    """

    lane: str = ""
    familiar: bool = False
    disconnected: Callable[[], Awaitable[None]] | None = None


ANY_CALLER: Final = HashCaller()
"""One that shares its turns with all others of this kind."""


class _Lanes:
    """Requests that wait, by lane; lanes take turns."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, deque[Turn]] = OrderedDict()
        self.waiting = 0

    def add(self, lane: str, turn: Turn) -> None:
        self._lanes.setdefault(lane, deque()).append(turn)
        self.waiting += 1

    def remove(self, lane: str, turn: Turn) -> None:
        waiting = self._lanes.get(lane)
        if waiting is not None and turn in waiting:
            waiting.remove(turn)
            self._taken_from(lane)

    def take_next(self) -> Turn:
        lane = next(iter(self._lanes))
        turn = self._lanes[lane].popleft()
        self._lanes.move_to_end(lane)
        self._taken_from(lane)
        return turn

    def take_newest_of_longest(self, longer_than: int) -> Turn | None:
        """None where no lane has more waiting than that."""
        lane = max(self._lanes, key=lambda name: len(self._lanes[name]), default=None)
        if lane is None or len(self._lanes[lane]) <= longer_than:
            return None
        turn = self._lanes[lane].pop()
        self._taken_from(lane)
        return turn

    def length_of(self, lane: str) -> int:
        return len(self._lanes.get(lane, ()))

    def _taken_from(self, lane: str) -> None:
        self.waiting -= 1
        if not self._lanes[lane]:
            del self._lanes[lane]


class HashingQueue:
    """Lets `at_once` callers hash, and at most `most_waiting` others wait for it."""

    def __init__(self, at_once: int, most_waiting: int) -> None:
        self._free = at_once
        self._most_waiting = most_waiting
        self._familiar, self._strangers = _Lanes(), _Lanes()
        self._familiar_turns = 0

    @asynccontextmanager
    async def turn(self, caller: HashCaller) -> AsyncIterator[None]:
        """Wait for a turn, which lasts for the block. Raises `TooManyHashes`, `CallerLeft`."""
        await self._wait(caller)
        try:
            yield
        finally:
            self._pass_on()

    @property
    def _waiting(self) -> int:
        return self._familiar.waiting + self._strangers.waiting

    async def _wait(self, caller: HashCaller) -> None:
        if self._free:
            self._free -= 1
            return
        lanes = self._familiar if caller.familiar else self._strangers
        if self._waiting >= self._most_waiting:
            self._make_room(lanes.length_of(caller.lane), caller.familiar)
        turn: Turn = asyncio.get_running_loop().create_future()
        lanes.add(caller.lane, turn)
        watched: set[asyncio.Future[None]] = {turn}
        if caller.disconnected is not None:
            watched.add(asyncio.ensure_future(caller.disconnected()))
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            left = any(one.done() for one in watched if one is not turn)
        except asyncio.CancelledError:
            self._leave(lanes, caller.lane, turn)
            raise
        finally:
            for one in watched - {turn}:
                one.cancel()
        if left:
            self._leave(lanes, caller.lane, turn)
            raise CallerLeft("the client disconnected before its password was looked at")
        turn.result()

    def _leave(self, lanes: _Lanes, lane: str, turn: Turn) -> None:
        if not turn.done():
            lanes.remove(lane, turn)
        elif turn.exception() is None:
            self._pass_on()  # it had got its turn

    def _make_room(self, same_lane: int, familiar: bool) -> None:
        """Refuse the one that gives way to a caller whose lane has so many; raises
        `TooManyHashes` where that is the caller itself.
        """
        refused = self._strangers.take_newest_of_longest(0 if familiar else same_lane)
        if refused is None and familiar:
            refused = self._familiar.take_newest_of_longest(same_lane)
        if refused is None:
            raise TooManyHashes(_FULL)
        refused.set_exception(TooManyHashes(_FULL))

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._next_lanes().take_next()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _next_lanes(self) -> _Lanes:
        if not self._strangers.waiting:
            return self._familiar
        if self._familiar.waiting and self._familiar_turns < _TURNS_OF_FAMILIAR:
            self._familiar_turns += 1
            return self._familiar
        self._familiar_turns = 0
        return self._strangers
