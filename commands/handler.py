"""Load, fold, decide, append: how every command is done.

A decision holds only if nobody wrote the streams that it appends to meanwhile; where somebody did,
the command is decided again on what is there now, a few times.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from commands.batch import CommandBatch, DeferredRequest
from commands.errors import CommandRejected, WriteContention
from commands.request import CommandOutcome, CommandRequest, decide, key_conflict, replay_outcome
from commands.stream_reader import StreamReader
from events.log import AppendRequest, AppendResult, EventLog, IdempotencyKeyReused, WrongVersion

MAX_ATTEMPTS: Final = 5


class CommandHandler:
    """Does commands on a log, with ids from `new_id`."""

    def __init__(self, log: EventLog, new_id: Callable[[], int]) -> None:
        self._log = log
        self._new_id = new_id
        self._reads_are_local = log.features.local_reads
        self._multi_stream_appends = log.features.multi_stream_appends

    async def handle(self, request: CommandRequest) -> CommandOutcome:
        """Do one command. Raises `CommandRejected` (`WriteContention` after too many conflicts)
        and the log's
        `LogUnavailable` and `IdTaken`; after those the same key makes it safe to ask again.
        """
        for _ in range(MAX_ATTEMPTS):
            # Reads of a distant log must not hold up the loop.
            decided = (
                self._decide_on_log(request)
                if self._reads_are_local
                else await asyncio.to_thread(self._decide_on_log, request)
            )
            if isinstance(decided, CommandOutcome):
                return decided
            try:
                return await self.append_decision(decided)
            except WrongVersion:
                continue
        raise WriteContention(
            "contended", f"others changed the same thing {MAX_ATTEMPTS} times meanwhile; try again"
        )

    async def handle_many(
        self, requests: Sequence[CommandRequest | DeferredRequest]
    ) -> list[CommandOutcome | CommandRejected]:
        """Do commands in order, each seeing what the ones before it did; see `commands.batch`.

        Raises `LogUnavailable`; some may be done then, and keys make it safe to ask again.
        """
        return await CommandBatch(self._log, self._new_id, self.append_decision, self.handle).run(
            requests
        )

    async def append_decision(self, append: AppendRequest) -> CommandOutcome:
        """Append a decision. Raises `WrongVersion`, `StateConflict` for a used key,
        `LogUnavailable`.
        """
        try:
            appended = (
                await self._log.append(append)
                if self._multi_stream_appends or len(append.writes) < 2
                else await self._append_stream_by_stream(append)
            )
        except IdempotencyKeyReused as reused:
            raise key_conflict() from reused
        result, position, repeated = appended
        writes = () if repeated else append.writes
        return CommandOutcome(result, position, bool(writes), repeated, writes)

    async def _append_stream_by_stream(self, append: AppendRequest) -> AppendResult:
        """One stream after the other; the key goes with the last, which completes the rest."""
        *before, last = append.writes
        for write in before:
            await self._log.append(
                AppendRequest((write,), append.actor, append.result_id, append.correlation)
            )
        return await self._log.append(
            AppendRequest(
                (last,), append.actor, append.result_id, append.correlation, key=append.key
            )
        )

    def _decide_on_log(self, request: CommandRequest) -> AppendRequest | CommandOutcome:
        sight = StreamReader(self._log)
        try:
            return decide(request, sight, self._new_id)
        except CommandRejected:
            # Done before? A registration asked for again is refused for its own handle.
            seen = request.key and sight.idempotency_result(request.key.name)
            if request.key and seen:
                return replay_outcome(request.key, seen)
            raise
