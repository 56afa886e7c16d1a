"""The command handler of the API process: read, fold, decide, append.

A decision holds only as long as the streams that it appends to are unchanged. Where another writer
changed one meanwhile, the command is decided again on the new state, a few times.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from commands.batch import CommandBatch, DeferredRequest
from commands.errors import CommandRejected, WriteContention
from commands.request import CommandOutcome, CommandRequest, decide, key_conflict, replay_outcome
from commands.stream_reader import StreamReader
from events.log import (
    AppendRequest,
    AppendResult,
    EventLog,
    IdempotencyKeyReused,
    WrongVersion,
    run_read,
)
from events.sealed_text import OpenText, as_written

MAX_ATTEMPTS: Final = 5


Append = Callable[[AppendRequest], Awaitable[AppendResult]]


class CommandHandler:
    """Decides commands on a log and appends their events, with ids from `new_id`."""

    def __init__(
        self,
        log: EventLog,
        new_id: Callable[[], int],
        around_append: Callable[[Append], Append] = lambda append: append,
        open_text: OpenText = as_written,
    ) -> None:
        """`around_append` may add to what an append does: seal its texts, measure it, tell of it.

        `open_text` opens the texts that the log holds.
        """
        self._open_text = open_text
        self._log = log
        self._new_id = new_id
        self._multi_stream_appends = log.features.multi_stream_appends
        self._append = around_append(self._append_to_log)

    async def handle(self, request: CommandRequest) -> CommandOutcome:
        """Do one command.

        Raises `CommandRejected` (`WriteContention` after too many conflicts), and the log's
        `LogUnavailable` and `IdTaken`: after those, a request with a key is safe to send again.
        """
        for _ in range(MAX_ATTEMPTS):
            decided = await run_read(self._log, self._decide_on_log, request)
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
        """Do commands in order, each on what the ones before it left (`commands.batch`).

        Raises `LogUnavailable`; some may be done then, and those with keys are safe to send again.
        """
        batch = CommandBatch(
            self._log, self._new_id, self.append_decision, self.handle, self._open_text
        )
        return await batch.run(requests)

    async def append_decision(self, append: AppendRequest) -> CommandOutcome:
        """Append a decision.

        Raises `WrongVersion`, `LogUnavailable`, and `StateConflict` for another request's key.
        """
        try:
            appended = await self._append(append)
        except IdempotencyKeyReused as reused:
            raise key_conflict() from reused
        result_id, position, replayed = appended
        writes = () if replayed else append.writes
        return CommandOutcome(result_id, position, bool(writes), replayed, writes)

    async def _append_to_log(self, append: AppendRequest) -> AppendResult:
        if self._multi_stream_appends or len(append.writes) < 2:
            return await self._log.append(append)
        # The key goes with the last stream: only with that one is the command done.
        *before, last = append.writes
        for write in before:
            await self._log.append(replace(append, writes=(write,), key=None))
        return await self._log.append(replace(append, writes=(last,)))

    def _decide_on_log(self, request: CommandRequest) -> AppendRequest | CommandOutcome:
        reader = StreamReader(self._log)
        try:
            return decide(request, reader, self._new_id, self._open_text)
        except CommandRejected:
            # Done before? A registration that is sent again is rejected for its own handle.
            first = request.key and reader.idempotency_result(request.key.name)
            if request.key and first:
                return replay_outcome(request.key, first)
            raise
