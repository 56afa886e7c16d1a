"""What the decisions of a window read of the log, fetched for all of them together.

A command reads two to five streams, one after the other, since what it reads next follows from what
it found. Of a log in another machine each read costs a round trip, and a window has hundreds of
commands. So the commands are tried first, each as far as what was fetched goes; what they lack is
fetched at once, and they are tried again. A window takes as many round trips as its longest
command.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from commands.decider import Aggregate
from commands.errors import CommandRejected
from commands.stream_reader import DecodedStream, StateSource, decode_stream, fold_events
from events.log import EventLog, IdempotencyResult

Trial = Callable[[StateSource], object]
"""Does a part of a decision that reads; what it returns is not used. May raise `CommandRejected`,
and must have no other effect."""

S = TypeVar("S")


class PrefetchedReads:
    """The log's streams and keys, each read once; what was not fetched is read when asked for."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._streams: dict[str, DecodedStream] = {}
        self._results: dict[str, IdempotencyResult | None] = {}

    def fetch(self, trials: Iterable[Trial]) -> None:
        """Fetch what some decisions read, as far as that can be known. Raises `LogUnavailable`.

        Not known is what a decision reads that depends on one before it in the window.
        """
        waiting = list(trials)
        while waiting:
            source = _FetchedSource(self._streams, self._results)
            waiting = [trial for trial in waiting if not _ends(trial, source)]
            found = self._log.read_many(source.missing_streams, source.missing_keys)
            self._results |= found.results
            for stream, events in found.streams.items():
                self._streams[stream] = decode_stream(events)

    def read_stream(self, stream: str) -> DecodedStream:
        """As `commands.stream_reader.read_stream`."""
        found = self._streams.get(stream)
        return decode_stream(self._log.read_stream(stream)) if found is None else found

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        """As `EventLog.idempotency_result`."""
        if key in self._results:
            return self._results[key]
        return self._log.idempotency_result(key)


class _NotFetched(Exception):
    """A trial needs what its source has noted as missing."""


def _ends(trial: Trial, source: StateSource) -> bool:
    """Whether a trial lacks nothing that it reads."""
    try:
        trial(source)
    except _NotFetched:
        return False
    except CommandRejected:
        pass
    return True


class _FetchedSource:
    """A `StateSource` of what was fetched; it notes what trials lack."""

    def __init__(
        self,
        streams: dict[str, DecodedStream],
        results: dict[str, IdempotencyResult | None],
    ) -> None:
        self._streams, self._results = streams, results
        self.missing_streams: set[str] = set()
        self.missing_keys: set[str] = set()
        self.versions: dict[str, int] = {}
        self.position = 0

    def __call__(self, stream: str, aggregate: Aggregate[S], /) -> S:
        found = self._streams.get(stream)
        if found is None:
            self.missing_streams.add(stream)
            raise _NotFetched
        return fold_events(found.events, aggregate)

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        if key not in self._results:
            self.missing_keys.add(key)
            raise _NotFetched
        return self._results[key]
