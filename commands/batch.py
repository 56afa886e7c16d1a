"""Many commands in order, in few commits.

A window of commands is decided on an overlay: the log as it will be once the commands before are
appended. Such a decision depends on appends that may still fail, so each has a *level*: 0 depends
on the log alone, n+1 on an append of level n. Appending level by level, and stopping where an
append failed, never writes what depends on something that didn't happen. The appends of a level
wait together, so that a log with group commit makes them durable with one fsync. After a conflict
with another writer, the commands that failed and all later levels are decided again, one by one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple, TypeVar

from commands.decider import Aggregate
from commands.errors import CommandRejected
from commands.prefetched_reads import PrefetchedReads
from commands.references import ReferenceResolver
from commands.request import CommandOutcome, CommandRequest, decide, replay_outcome
from commands.stream_reader import StateSource, fold_events
from events.log import AppendRequest, EventLog, IdempotencyResult, WrongVersion, run_read
from events.schema import Event
from events.sealed_text import OpenText

COMMANDS_PER_WINDOW: Final = 256
"""Commands decided before anything is appended: some 15 ms of an event loop's time."""

DeferredRequest = Callable[[ReferenceResolver], CommandRequest]
"""A request that refers to what requests before it create; may raise `CommandRejected`."""

S = TypeVar("S")


class CommandBatch:
    """One call of `CommandHandler.handle_many`."""

    def __init__(
        self,
        log: EventLog,
        new_id: Callable[[], int],
        append: Callable[[AppendRequest], Awaitable[CommandOutcome]],
        handle: Callable[[CommandRequest], Awaitable[CommandOutcome]],
        open_text: OpenText,
    ) -> None:
        """`append` and `handle` are `CommandHandler`'s `append_decision` and `handle`."""
        self._log = log
        self._new_id = new_id
        self._append = append
        self._handle = handle
        self._open_text = open_text
        self._results: dict[int, CommandOutcome | CommandRejected] = {}
        self._newest_position = 0

    async def run(
        self, requests: Sequence[CommandRequest | DeferredRequest]
    ) -> list[CommandOutcome | CommandRejected]:
        """The outcome of each request, in their order. Raises `LogUnavailable`."""
        start = 0
        while start < len(requests):
            window = requests[start : start + COMMANDS_PER_WINDOW]
            decided = await run_read(self._log, self._decide_window, window, start)
            await self._append_by_level(decided)
            start += len(decided)
        return [self._results[index] for index in range(len(requests))]

    def _decide_window(
        self, window: Sequence[CommandRequest | DeferredRequest], start: int
    ) -> list["_DecidedCommand"]:
        """Decide a window, or the part of it before a key that the part itself uses already."""
        reads = PrefetchedReads(self._log)
        if not self._log.features.local_reads:
            reads.fetch([partial(self._try_decision, request) for request in window])
        overlay = _LogOverlay(reads)
        decided: list[_DecidedCommand] = []
        for index, request in enumerate(window, start):
            reader = _OverlayReader(overlay)
            decision: AppendRequest | CommandOutcome | CommandRejected
            try:
                resolved = _resolve(request, ReferenceResolver(self._log, reader))
                key = resolved.key
                if key is not None and overlay.is_pending(key.name):
                    break
                first = key and reads.idempotency_result(key.name)
                decision = (
                    replay_outcome(key, first)
                    if key and first
                    else decide(resolved, reader, self._new_id, self._open_text)
                )
            except CommandRejected as rejected:
                decision = rejected
            level = (
                overlay.add(decision, reader)
                if isinstance(decision, AppendRequest)
                else reader.dependency_level
            )
            decided.append(_DecidedCommand(index, request, level, decision))
        return decided

    def _try_decision(self, request: CommandRequest | DeferredRequest, source: StateSource) -> None:
        """Read what deciding a request reads, and use up no id for it."""
        resolved = _resolve(request, ReferenceResolver(self._log, source))
        if resolved.key is None or source.idempotency_result(resolved.key.name) is None:
            decide(resolved._replace(id_source=None), source, lambda: 1, self._open_text)

    async def _append_by_level(self, decided: list["_DecidedCommand"]) -> None:
        """Append level by level; from the first level with a conflict on, one by one."""
        by_level = sorted(decided, key=lambda command: (command.level, command.request_index))
        appended = 0
        for _, group in groupby(by_level, key=lambda command: command.level):
            level = list(group)
            appended += len(level)
            failed = await self._append_level(level)
            if failed is not None:
                remaining = [*failed, *by_level[appended:]]
                for command in sorted(remaining, key=lambda command: command.request_index):
                    self._results[command.request_index] = await self._handle_alone(command.request)
                return

    async def _append_level(self, level: list["_DecidedCommand"]) -> list["_DecidedCommand"] | None:
        """None, or the commands to decide again after a conflict, perhaps none of this level."""
        appends: list[tuple[_DecidedCommand, AppendRequest]] = []
        for command in level:
            if isinstance(command.decision, AppendRequest):
                appends.append((command, command.decision))
            else:
                self._results[command.request_index] = self._at_newest_position(
                    command.decision, command.level
                )
        results = await asyncio.gather(
            *(self._append(append) for _, append in appends), return_exceptions=True
        )
        failed: list[_DecidedCommand] = []
        as_decided = True
        for (command, append), result in zip(appends, results, strict=True):
            if isinstance(result, WrongVersion):
                failed.append(command)
            elif isinstance(result, CommandOutcome | CommandRejected):
                self._results[command.request_index] = result
                if isinstance(result, CommandOutcome):
                    self._newest_position = max(self._newest_position, result.position)
                # Another writer used the key after it was looked up here: nothing was written now.
                as_decided &= isinstance(result, CommandOutcome) and not (
                    append.writes and result.replayed
                )
            else:
                raise result
        return None if as_decided and not failed else failed

    def _at_newest_position(
        self, decision: CommandOutcome | CommandRejected, level: int
    ) -> CommandOutcome | CommandRejected:
        """What made a command needless may have been appended only now: show that, too."""
        if level and isinstance(decision, CommandOutcome):
            return decision._replace(position=max(decision.position, self._newest_position))
        return decision

    async def _handle_alone(
        self, request: CommandRequest | DeferredRequest
    ) -> CommandOutcome | CommandRejected:
        references = ReferenceResolver(self._log)
        try:
            resolved = await run_read(self._log, _resolve, request, references)
            return await self._handle(resolved)
        except CommandRejected as rejected:
            return rejected


class _DecidedCommand(NamedTuple):
    """A command of a window with its decision, which depends on appends below `level`."""

    request_index: int
    request: CommandRequest | DeferredRequest
    level: int
    decision: AppendRequest | CommandOutcome | CommandRejected


def _resolve(
    request: CommandRequest | DeferredRequest, references: ReferenceResolver
) -> CommandRequest:
    return request if isinstance(request, CommandRequest) else request(references)


class _OverlayStream:
    """A stream with the events that wait to be appended to it.

    `read_level` is the highest level of a decision that read it, `write_level` that of the last
    one that writes it.
    """

    __slots__ = ("events", "position", "read_level", "version", "write_level")

    def __init__(self, events: list[Event], version: int, position: int) -> None:
        self.events = events
        self.version = version
        self.position = position
        self.read_level = 0
        self.write_level = -1


class _LogOverlay:
    """The log with the appends of a window on top of it."""

    def __init__(self, reads: PrefetchedReads) -> None:
        self._reads = reads
        self._streams: dict[str, _OverlayStream] = {}
        self._pending_keys: dict[str, tuple[IdempotencyResult, int]] = {}

    def load_stream(self, name: str) -> _OverlayStream:
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = _OverlayStream(*self._reads.read_stream(name))
        return stream

    def lookup_key(self, name: str) -> tuple[IdempotencyResult | None, int]:
        """(the result of a key, the level of a decision that depends on it)."""
        pending = self._pending_keys.get(name)
        return pending or (self._reads.idempotency_result(name), 0)

    def is_pending(self, key: str) -> bool:
        return key in self._pending_keys

    def add(self, append: AppendRequest, reader: "_OverlayReader") -> int:
        """Add an append that was decided with `reader`; gives its level.

        The level is not below that of an earlier decision that read what this one writes: the
        order of the batch is kept wherever it matters.
        """
        written = [
            self._stream_to_write(write.stream, write.expected_version) for write in append.writes
        ]
        level = max([reader.dependency_level, *(stream.read_level for stream in written)])
        for stream, write in zip(written, append.writes, strict=True):
            stream.events = [*stream.events, *(new.event for new in write.events)]
            stream.version += len(write.events)
            stream.write_level = level
        for stream in reader.streams_read:
            stream.read_level = max(stream.read_level, level)
        if append.key is not None:
            result = IdempotencyResult(append.key.fingerprint, append.result_id, 0)
            self._pending_keys[append.key.name] = (result, level + 1)
        return level

    def _stream_to_write(self, name: str, expected: int) -> _OverlayStream:
        if expected == 0 and name not in self._streams:
            self._streams[name] = _OverlayStream([], 0, 0)
        return self._streams[name]


class _OverlayReader:
    """The `StateSource` of one command of a window; `dependency_level` grows with its reads."""

    __slots__ = ("_overlay", "dependency_level", "position", "streams_read", "versions")

    def __init__(self, overlay: _LogOverlay) -> None:
        self._overlay = overlay
        self.dependency_level = 0
        self.streams_read: list[_OverlayStream] = []
        self.versions: dict[str, int] = {}
        self.position = 0

    def __call__(self, stream: str, aggregate: Aggregate[S], /) -> S:
        loaded = self._overlay.load_stream(stream)
        if stream not in self.versions:
            self.versions[stream] = loaded.version
            self.streams_read.append(loaded)
            self.dependency_level = max(self.dependency_level, loaded.write_level + 1)
            self.position = max(self.position, loaded.position)
        return fold_events(loaded.events, aggregate)

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        result, level = self._overlay.lookup_key(key)
        self.dependency_level = max(self.dependency_level, level)
        return result
