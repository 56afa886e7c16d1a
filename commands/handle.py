"""Load, fold, decide, append: how every command is done.

A decision holds only if nobody wrote the streams that it appends to meanwhile; where somebody did,
the command is decided again on what is there now, a few times.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from commands.batch import Batch, Later
from commands.errors import Contended, Rejected
from commands.request import Outcome, Request, decide, key_reused, repeat
from commands.sight import Sight
from events.log import Append, Appended, EventLog, KeyReused, WrongVersion

__all__ = ["Handler", "Later", "Outcome", "Request"]

ATTEMPTS: Final = 5


class Handler:
    """Does commands on a log, with ids from `new_id`."""

    def __init__(self, log: EventLog, new_id: Callable[[], int]) -> None:
        self._log = log
        self._new_id = new_id
        self._local = log.features.local_reads
        self._at_once = log.features.many_streams

    async def handle(self, request: Request) -> Outcome:
        """Do one command. Raises `Rejected` (`Contended` after too many conflicts) and the log's
        `LogUnavailable` and `IdTaken`; after those the same key makes it safe to ask again.
        """
        for _ in range(ATTEMPTS):
            # Reads of a distant log must not hold up the loop.
            decided = (
                self._decide(request)
                if self._local
                else await asyncio.to_thread(self._decide, request)
            )
            if isinstance(decided, Outcome):
                return decided
            try:
                return await self.append(decided)
            except WrongVersion:
                continue
        raise Contended(
            "contended", f"others changed the same thing {ATTEMPTS} times meanwhile; try again"
        )

    async def handle_many(self, requests: Sequence[Request | Later]) -> list[Outcome | Rejected]:
        """Do commands in order, each seeing what the ones before it did; see `commands.batch`.

        Raises `LogUnavailable`; some may be done then, and keys make it safe to ask again.
        """
        return await Batch(self._log, self._new_id, self.append, self.handle).run(requests)

    async def append(self, append: Append) -> Outcome:
        """Append a decision. Raises `WrongVersion`, `Conflict` for a used key, `LogUnavailable`."""
        try:
            appended = (
                await self._log.append(append)
                if self._at_once or len(append.writes) < 2
                else await self._append_in_turn(append)
            )
        except KeyReused as reused:
            raise key_reused() from reused
        result, position, repeated = appended
        writes = () if repeated else append.writes
        return Outcome(result, position, bool(writes), repeated, writes)

    async def _append_in_turn(self, append: Append) -> Appended:
        """One stream after the other; the key goes with the last, which completes the rest."""
        *before, last = append.writes
        for write in before:
            await self._log.append(
                Append((write,), append.actor, append.result, append.correlation)
            )
        return await self._log.append(
            Append((last,), append.actor, append.result, append.correlation, key=append.key)
        )

    def _decide(self, request: Request) -> Append | Outcome:
        sight = Sight(self._log)
        try:
            return decide(request, sight, self._new_id)
        except Rejected:
            # Done before? A registration asked for again is refused for its own handle.
            seen = request.key and sight.remembered(request.key.name)
            if request.key and seen:
                return repeat(request.key, seen)
            raise
