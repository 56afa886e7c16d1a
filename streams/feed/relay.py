"""The relay: log of record -> feed. It runs in the process of `starling relay`.

It reads the log, splits each read into chunks and publishes them, with many unacknowledged at a
time. It stores nothing of its own: how far the feed is known to be complete (`complete_to`) stands
in every record, and a new relay begins where the last record of each partition says. It may
publish a chunk twice, after a crash or beside another relay, and never leaves one out (ADR 0015).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, NamedTuple, Protocol

from prometheus_client import Counter, Gauge

from events.log import EventLog, EventMark, LogReplaced, LogUnavailable, holds_event
from streams.event_traces import batch_span, correlations_in, traces_are_on
from streams.feed.chunks import (
    Chunk,
    FeedState,
    build_watermark,
    split_into_chunks,
    watermarks_for_all,
)

READ_EVENTS: Final = 2000
"""Events in one read of the log."""
MAX_READS_AT_ONCE: Final = 4
"""Reads whose chunks a relay that is behind publishes together: Kafka's client sends in few and
large batches what it is given at once."""
FEW_EVENTS: Final = 200
"""After reading fewer events, the relay waits a quarter of `WATERMARK_SECONDS` for more to gather:
a record costs the broker and the workers as much as dozens of events in it."""
MAX_IN_FLIGHT_BYTES: Final = 16 << 20
"""Lines that may be published and unacknowledged."""
WATERMARK_SECONDS: Final = 0.2
"""How often, while events flow, every partition gets a watermark."""
RETRY_SECONDS: Final = 1.0
"""The wait before an absent feed is tried again."""

_IDLE_SECONDS: Final = 1.0  # how soon an idle relay notices that its lease is over
_FINISH_SECONDS: Final = 10.0

_RELAYED_EVENTS: Final = Counter(
    "starling_relayed_events", "Events published to the feed.", ["topic"]
)
_RELAYED_CHUNKS: Final = Counter(
    "starling_relayed_chunks", "Chunks published to the feed, without watermarks.", ["topic"]
)
_RELAY_LAG: Final = Gauge(
    "starling_relay_lag",
    "Events of the log, about, that the feed is not yet known to hold.",
    ["topic"],
    multiprocess_mode="livemostrecent",
)

_logger = logging.getLogger(__name__)


class FeedUnavailable(Exception):
    """The feed can't be reached, or did not acknowledge in time: open it again."""


class FeedWriter(Protocol):
    """Where chunks go: a topic of some broker, opened for writing."""

    @property
    def partition_count(self) -> int: ...

    @property
    def state(self) -> FeedState:
        """What the newest records said when it was opened."""
        ...

    def publish(self, chunks: Sequence[Chunk], state: FeedState) -> "asyncio.Future[None]":
        """Send chunks, each partition's in order; done when all of them are acknowledged.

        Never blocks for long. The future, or this call, raises `FeedUnavailable`.
        """
        ...

    async def close(self) -> None:
        """Close it; does not wait for what is not acknowledged yet."""
        ...


class _PendingPublish(NamedTuple):
    acknowledged: "asyncio.Future[None]"
    size: int
    complete_to: int | None
    """How far the feed is complete once this and all before it are acknowledged."""


class Relay:
    """Copies a log to a feed for as long as it holds the lease to do so."""

    def __init__(
        self,
        log: EventLog,
        open_feed: Callable[[], Awaitable[FeedWriter]],
        holds_lease: Callable[[], bool] = lambda: True,
        watermark_seconds: float = WATERMARK_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        topic: str = "",
    ) -> None:
        """`topic` names the feed in the metrics."""
        self._log = log
        self._open_feed = open_feed
        self._holds_lease = holds_lease
        self._watermark_seconds = watermark_seconds
        self._retry_seconds = retry_seconds
        self.complete_to = 0
        """The feed is known to hold the log up to here."""
        self._events = _RELAYED_EVENTS.labels(topic)
        self._chunks = _RELAYED_CHUNKS.labels(topic)
        self._lag = _RELAY_LAG.labels(topic)

    def count_published(self, chunks: Sequence[Chunk]) -> None:
        """Chunks with events were handed to the feed."""
        self._chunks.inc(len(chunks))
        self._events.inc(sum(chunk.event_count for chunk in chunks))

    def set_complete(self, position: int) -> None:
        """The feed is now known to hold the log up to here."""
        self.complete_to = position
        self._lag.set(self._log.features.estimate_events(position, self._log.head()))

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set or the lease is over. An absent log or feed is tried again.

        Raises `LogReplaced` where the feed is not of this log.
        """
        while not stop.is_set() and self._holds_lease():
            try:
                await self._relay_log(stop)
            except LogReplaced:
                raise
            except (FeedUnavailable, LogUnavailable) as error:
                _logger.warning("trying again in %s s: %s", self._retry_seconds, error)
                await _sleep(stop, self._retry_seconds)

    async def _relay_log(self, stop: asyncio.Event) -> None:
        feed = await self._open_feed()
        try:
            _require_same_log(feed.state, self._log)
            session = _RelaySession(self, feed, self._log, self._watermark_seconds, stop)
            while not stop.is_set() and self._holds_lease():
                await session.relay_next()
            if self._holds_lease():
                await asyncio.wait_for(session.finish(), _FINISH_SECONDS)
        except TimeoutError as error:
            raise FeedUnavailable("the last chunks were not acknowledged in time") from error
        finally:
            await feed.close()


class _RelaySession:
    """One opening of the feed: how far the log was read, and what is unacknowledged."""

    def __init__(
        self,
        relay: Relay,
        feed: FeedWriter,
        log: EventLog,
        watermark_seconds: float,
        stop: asyncio.Event,
    ) -> None:
        self._relay, self._feed, self._log = relay, feed, log
        self._watermark_seconds, self._stop = watermark_seconds, stop
        self._now = asyncio.get_running_loop().time
        self._watermark_due: float | None = None
        """When watermarks are due; None without events since the last."""
        self._found_few = False
        """Whether the last reads found so few events that more should gather."""
        self._in_flight: deque[_PendingPublish] = deque()
        self._in_flight_bytes = 0
        relay.complete_to = self._read_position = feed.state.complete_to
        self._state = FeedState(0, _log_number(log), feed.state.newest)
        self._stated_through = [self._read_position] * feed.partition_count

    async def relay_next(self) -> None:
        """Publish what some reads find and what is due; wait where there is nothing to do."""
        chunks = self._read_chunks()
        if chunks:
            with _traced_publish(chunks):
                self._publish(chunks)
            self._relay.count_published(chunks)
            if self._watermark_due is None:
                self._watermark_due = self._now() + self._watermark_seconds
        if self._watermark_due is not None and self._now() >= self._watermark_due:
            self._publish_watermarks()
        await self._collect_acknowledgements(self._in_flight_bytes - MAX_IN_FLIGHT_BYTES)
        if not chunks:
            await self._wait_for_work()
        elif self._found_few:
            until_watermark = (self._watermark_due or 0) - self._now()
            await _sleep(self._stop, max(0.0, min(self._watermark_seconds / 4, until_watermark)))

    def _read_chunks(self) -> list[Chunk]:
        """The chunks of the next read; of several while the feed is busy and there is more."""
        chunks: list[Chunk] = []
        found = 0
        for _ in range(MAX_READS_AT_ONCE if self._in_flight else 1):
            read = self._log.read_owned_lines(self._read_position, limit=READ_EVENTS)
            if read.lines:
                self._read_position = read.position_at(-1)
                # A relay that publishes again what the feed holds is behind its newest event.
                newest = EventMark(self._read_position, read.ids[-1])
                self._state = self._state._replace(newest=max(self._state.newest, newest))
                chunks += split_into_chunks(read, self._stated_through, self._read_position)
            found += len(read.lines)
            if len(read.lines) < READ_EVENTS:
                break
        self._found_few = found < FEW_EVENTS
        return chunks

    async def finish(self) -> None:
        """Complete the feed, such that the next relay has nothing to publish again."""
        if self._watermark_due is not None:
            self._publish_watermarks()
        await self._collect_acknowledgements(0, everything=True)
        if self._read_position > self._feed.state.complete_to:
            last_watermarks = [
                build_watermark(p, self._read_position, self._read_position)
                for p in range(self._feed.partition_count)
            ]
            self._publish(last_watermarks)
            await self._collect_acknowledgements(0, everything=True)

    def _publish(self, chunks: list[Chunk], complete_to: int | None = None) -> None:
        size = sum(len(chunk.lines) for chunk in chunks)
        state = self._state._replace(complete_to=self._relay.complete_to)
        acknowledged = self._feed.publish(chunks, state)
        self._in_flight.append(_PendingPublish(acknowledged, size, complete_to))
        self._in_flight_bytes += size

    def _publish_watermarks(self) -> None:
        """To all partitions, also those that had no events lately."""
        self._publish(
            watermarks_for_all(self._stated_through, self._read_position),
            complete_to=self._read_position,
        )
        self._watermark_due = None

    async def _collect_acknowledgements(self, least: int, everything: bool = False) -> None:
        """Collect what was acknowledged; wait for at least so many bytes, or for everything."""
        await asyncio.sleep(0)
        while self._in_flight:
            sent = self._in_flight[0]
            if not (sent.acknowledged.done() or everything or least > 0):
                return
            await sent.acknowledged
            self._in_flight.popleft()
            self._in_flight_bytes -= sent.size
            least -= sent.size
            if sent.complete_to is not None:
                self._relay.set_complete(sent.complete_to)

    async def _wait_for_work(self) -> None:
        """Until there are events, an acknowledgement or an end, or watermarks are due."""
        due = self._now() + _IDLE_SECONDS if self._watermark_due is None else self._watermark_due
        events = asyncio.ensure_future(
            self._log.wait_for_events(self._read_position, max(0.0, due - self._now()))
        )
        stopped = asyncio.ensure_future(self._stop.wait())
        awaited: list[asyncio.Future[Any]] = [events, stopped]
        if self._in_flight:
            awaited.append(self._in_flight[0].acknowledged)
        try:
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if events.done():
                events.result()  # raises what reading the log raised
        finally:
            events.cancel()
            stopped.cancel()


def _require_same_log(feed: FeedState, log: EventLog) -> None:
    """Raises `LogReplaced` where the feed holds what the log does not: an older copy of the log
    was put in its place, though it may have grown past the feed again, or another log."""
    advice = "publish it into a new topic (--topic)"
    if feed.complete_to > (head := log.head()):
        raise LogReplaced(
            f"the feed holds a log up to position {feed.complete_to}, but this one ends at "
            f"{head}: {advice}"
        )
    if feed.log and feed.log != _log_number(log):
        raise LogReplaced(f"the feed is that of another log than the one that is there: {advice}")
    if not holds_event(log, feed.newest):
        raise LogReplaced(
            f"the feed holds event {feed.newest.id}, which the log does not hold any more: {advice}"
        )


def _log_number(log: EventLog) -> int:
    """The log's identity as records of the feed have it."""
    return int(log.identity, 16)


def _traced_publish(chunks: Sequence[Chunk]) -> AbstractContextManager[None]:
    if not traces_are_on():
        return nullcontext()
    correlations = (each for chunk in chunks for each in correlations_in(chunk.lines))
    count = sum(chunk.event_count for chunk in chunks)
    return batch_span("relay publish", correlations, {"messaging.batch.message_count": count})


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
