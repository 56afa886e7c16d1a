"""The log of record in EventStoreDB (KurrentDB): the one that several machines share.

An event of the log is one of EventStoreDB, in a stream of the same name within a namespace; its
position is its commit position there. Nothing appears below a position that was read, because the
node shows $all only as far as everything before is there. Both appends and reads go to the node
that leads, so that each process reads what it wrote.

EventStoreDB has no index of ids, and appends to one stream at a time; `LogFeatures` says so.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from events.envelope import StoredEvent
from events.json_lines import JsonLines, OwnedLines, join_lines, render_owned_lines
from events.log import (
    LOG_START,
    AppendRequest,
    AppendResult,
    IdempotencyResult,
    IdTaken,
    LogExtract,
    LogFeatures,
    LogReplaced,
    LogUnavailable,
    NoSuchPosition,
    WrongVersion,
)
from infra.eventstoredb.address import EventStoreAddress
from infra.eventstoredb.append_handover import AppendHandover, HandedAppend
from infra.eventstoredb.append_pump import AppendPump, ProposedWrite
from infra.eventstoredb.connection import NodeClient, NodeConnection
from infra.eventstoredb.event_bell import EventBell
from infra.eventstoredb.hidden_streams import find_hidden_streams
from infra.eventstoredb.id_index import IdIndex
from infra.eventstoredb.idempotency_claims import IdempotencyClaims
from infra.eventstoredb.node_errors import PositionRefused
from infra.eventstoredb.stream_names import StreamNames, propose_events
from infra.eventstoredb.wire import (
    LARGEST_INT64,
    ProposedEvent,
    ReadEvent,
    ReadRequest,
    decode_events,
    encode_read_all,
    encode_read_stream,
    encode_subscribe_all,
    is_event,
)

EVENTS_PER_READ: Final = 2000
"""Of one call; each has a deadline of its own."""
NEWEST_EVENTS: Final = 2000
"""Among which `newest_id` looks."""
IDENTITY_TYPE: Final = "log-identity"
OWNER_TYPE: Final = "log-owner"


class EventStoreLog:
    """`EventLog` in a namespace of an EventStoreDB, for any number of threads and event loops.

    Reads block: on an event loop they belong into a thread.
    """

    features: Final = LogFeatures(
        multi_stream_appends=False, local_reads=False, unique_ids=False, position_step=600
    )

    def __init__(
        self, address: EventStoreAddress, index_file: Path, read_only: bool = False
    ) -> None:
        """Connects, and begins a log where there is none and it is to be written.

        Raises `LogUnavailable`.
        """
        self._name: Final = str(address)
        self._names = StreamNames(address.namespace)
        self._connection = NodeConnection(address)
        try:
            self.identity: Final = self._connection.run(self._find_identity(begin=not read_only))
            self._connection.check_node = self._check_identity
            self._pump = None if read_only else self._connection.run(self._start_pump())
        except BaseException:
            self._connection.close()
            raise
        self._claims = IdempotencyClaims(self._connection, self._names)
        self._handover = AppendHandover(self._connection.loop, self._name)
        self._bell = EventBell(
            self._connection, encode_subscribe_all(streams=[self._names.prefix]), self._read_head
        )
        self._index = IdIndex(
            index_file, self.identity, lambda after, limit: self.read_all(after, limit=limit)
        )

    def claim_for(self, owner: str) -> str:
        return self._connection.run(self._decide_first(self._names.owner, OWNER_TYPE, owner))

    # ---- appending ----

    async def append(self, append: AppendRequest) -> AppendResult:
        if self._pump is None:
            raise LogUnavailable(f"the log {self._name} was opened to be read alone")
        if len(append.writes) > 1:
            raise ValueError("this log appends to one stream at a time")
        write, stream = None, ""
        ids: list[int] = []
        for stream, expected, events in append.writes:
            ids = [event.id for event in events]
            write = ProposedWrite(
                self._names.of_stream(stream),
                expected,
                propose_events(append, events),
                append.result_id,
            )
        pump = self._pump
        simple = append.key is None and ids and len(set(ids)) == len(ids)
        handed = HandedAppend(
            stream,
            lambda: pump.submit(write) if simple and write is not None else None,
            lambda: self._append_in_steps(append, pump, write, ids),
        )
        try:
            return await self._handover.hand_over(handed)
        except WrongVersion as error:
            # The pump knows the stream by its name in EventStoreDB.
            raise WrongVersion(stream, error.expected_version) from None

    async def _append_in_steps(
        self, append: AppendRequest, pump: AppendPump, write: ProposedWrite | None, ids: list[int]
    ) -> AppendResult:
        """An append with a key, or without events, or with an id twice."""
        key = append.key
        if key is None:
            return await self._append_without_key(append, pump, write, ids)
        async with self._claims.key_held(key):
            if write is not None and ids and len(set(ids)) == len(ids):
                return await self._claims.append(append, key, pump, write, LOG_START)
            earlier = await self._claims.earlier_result(key, pump)
            if earlier is not None:
                return earlier
            await self._check_write(write, ids)
            position = await self._read_head()
            return await self._claims.append(append, key, pump, None, position)

    async def _append_without_key(
        self, append: AppendRequest, pump: AppendPump, write: ProposedWrite | None, ids: list[int]
    ) -> AppendResult:
        if write is not None and ids and len(set(ids)) == len(ids):
            return await pump.submit(write)
        await self._check_write(write, ids)
        return AppendResult(append.result_id, await self._read_head())

    async def _check_write(self, write: ProposedWrite | None, ids: list[int]) -> None:
        """Raises `WrongVersion`, `IdTaken` for a write that isn't to be made."""
        if write is None:
            return
        request = encode_read_stream(write.stream, revision=None, count=1, backwards=True)
        last = decode_events(await self._connection.read(request))
        if (last[0].revision + 1 if last else 0) != write.expected_version:
            raise WrongVersion(write.stream, write.expected_version)
        if ids:
            raise IdTaken(tuple(ids))

    # ---- reading ----

    def read_stream(self, stream: str, after: int = 0) -> list[StoredEvent]:
        return self._connection.run(self._read_stream(stream, after))

    def read_all(
        self,
        after: int = LOG_START,
        *,
        types: Collection[str] | None = None,
        limit: int = 1000,
        until: int | None = None,
    ) -> list[StoredEvent]:
        if types is not None and not types:
            self._connection.require_open()
            return []
        found: list[StoredEvent] = []
        for page in self._pages(after, limit, types):
            for stored in self._names.stored_events(page):
                if until is not None and stored.position > until:
                    return found
                if types is None or stored.type in types:
                    found.append(stored)
            if len(found) >= limit:
                return found[:limit]
        return found

    def read_lines(
        self, after: int = LOG_START, *, limit: int = 1000, until: int | None = None
    ) -> JsonLines | None:
        return join_lines(self.read_all(after, limit=limit, until=until))

    def read_owned_lines(self, after: int = LOG_START, *, limit: int = 1000) -> OwnedLines:
        return render_owned_lines(self.read_all(after, limit=limit))

    def event_at(self, position: int) -> StoredEvent | None:
        """The event at a position; None where none begins there."""
        if not LOG_START < position <= LARGEST_INT64:
            return None
        try:
            events = self._read(encode_read_all(position, count=1))
        except PositionRefused:
            return None
        found = self._names.stored_events(event for event in events if event.position == position)
        return found[0] if found else None

    def read_many(self, streams: Collection[str], keys: Collection[str]) -> LogExtract:
        return self._connection.run(self._read_many(tuple(streams), tuple(keys)))

    def ids_between(self, first: int, last: int) -> list[int]:
        """As the port has it; the first call reads the whole log, into the index file."""
        return self._index.ids_between(first, last)

    def stretch_between(self, first: int, last: int) -> tuple[int, int] | None:
        """As the port has it; the first call reads the whole log, into the index file."""
        return self._index.stretch_between(first, last)

    def newest_id(self, below: int | None = None) -> int:
        """The largest id (below a bound) among the newest 2,000 events, where one of them is; else
        of the whole log, which is read for it.

        An older event can have a larger id only if 2,000 with smaller ones were imported after it.
        """
        request = encode_read_all(
            None, count=NEWEST_EVENTS, backwards=True, streams=[self._names.prefix]
        )
        newest = self._read(request)
        events = self._names.stored_events(newest)
        found = [e.id for e in events if below is None or e.id < below]
        if found:
            return max(found)
        return 0 if below is None or len(newest) < NEWEST_EVENTS else self._index.newest_id(below)

    def idempotency_result(self, key: str) -> IdempotencyResult | None:
        return self._connection.run(self._claims.result(key))

    def head(self) -> int:
        return self._connection.run(self._read_head())

    async def wait_for_events(self, after: int, timeout: float) -> bool:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        if await asyncio.wrap_future(self._connection.start(self._read_head())) > after:
            return True
        found = await self._bell.wait_above(after, end - loop.time())
        self._connection.require_open()
        return found

    def hidden_streams(self) -> list[str]:
        return find_hidden_streams(self._read, self._names)

    def write_problem(self) -> str | None:
        return None if self._pump is None else self._pump.problem

    def close(self) -> None:
        """Wait for the appends under way, and wake those that wait for events."""
        self._handover.close()
        self._connection.close(self._handover.finish())
        self._bell.close()
        self._index.close()

    async def _read_stream(self, stream: str, after: int = 0) -> list[StoredEvent]:
        name = self._names.of_stream(stream)
        found: list[StoredEvent] = []
        while True:
            request = encode_read_stream(name, revision=after, count=EVENTS_PER_READ)
            replies = await self._connection.read(request)
            page = self._names.stored_events(decode_events(replies))
            found += page
            if len(page) < EVENTS_PER_READ:
                return found
            after = page[-1].version

    async def _read_many(self, streams: Sequence[str], keys: Sequence[str]) -> LogExtract:
        found, results = await asyncio.gather(
            asyncio.gather(*map(self._read_stream, streams)),
            asyncio.gather(*map(self._claims.result, keys)),
        )
        return LogExtract(
            dict(zip(streams, found, strict=True)), dict(zip(keys, results, strict=True))
        )

    def _pages(
        self, after: int, limit: int, types: Collection[str] | None
    ) -> Iterator[list[ReadEvent]]:
        """The events above a position, page by page, until the caller has enough of them.

        Of every type, the node makes the next page while this one is looked at, up to `limit`.
        More are read where tombstones were among them.
        """
        place, left = after, limit
        coming: Future[list[bytes]] | None = None
        while limit > 0:
            # The event at the place is read again: the node knows no other way to go on.
            wanted = left if left > 0 else limit
            count = min(wanted, EVENTS_PER_READ) + (place > LOG_START)
            if coming is None:
                coming = self._connection.start(self._read_page(place, count, types))
            replies, coming = coming.result(), None
            ended = len(replies) < count
            before, place = place, decode_events(replies[-1:])[0].position if replies else place
            if types is None:
                left -= EVENTS_PER_READ
                if left > 0 and not ended:
                    following = self._read_page(place, min(left, EVENTS_PER_READ) + 1, types)
                    coming = self._connection.start(following)
            yield [event for event in decode_events(replies) if event.position > before]
            if ended:
                return

    async def _read_page(
        self, place: int, count: int, types: Collection[str] | None
    ) -> list[bytes]:
        """At most `count` events from a place on, that of the place included.

        Raises `NoSuchPosition`; beyond the end there are no events.
        """
        wanted = {"streams": (self._names.prefix,)} if types is None else {"types": tuple(types)}
        request = encode_read_all(place, count=count, **wanted)
        try:
            replies = list(filter(is_event, await self._connection.read(request)))
        except PositionRefused:
            if place > await self._read_head():
                return []
            raise NoSuchPosition(place) from None
        if types is None and place > LOG_START and replies:
            (first,) = decode_events(replies[:1])
            if first.position != place:
                raise NoSuchPosition(place)
        return replies

    def _read(self, request: ReadRequest) -> list[ReadEvent]:
        return decode_events(self._connection.run(self._connection.read(request)))

    async def _read_head(self) -> int:
        streams, count = [self._names.prefix], 1
        while True:
            request = encode_read_all(None, count=count, backwards=True, streams=streams)
            last = decode_events(await self._connection.read(request))
            for event in last:
                if not event.type.startswith("$"):  # tombstones are no events
                    return event.position
            if len(last) < count:
                return LOG_START
            count *= 8

    # ---- which log it is ----

    async def _start_pump(self) -> AppendPump:
        return AppendPump(
            self._connection, _first_write(self._names.identity, IDENTITY_TYPE, self.identity)
        )

    async def _find_identity(self, begin: bool) -> str:
        """Of the log that is there, or that is begun."""
        found = await self._read_first(self._names.identity)
        if found is None and not begin:
            raise LogUnavailable(f"there is no log at {self._name}")
        return found or await self._decide_first(self._names.identity, IDENTITY_TYPE, uuid4().hex)

    async def _decide_first(self, stream: str, event_type: str, value: str) -> str:
        """What the first event of a stream says: `value`, or what another process wrote first."""
        while (found := await self._read_first(stream)) is None:
            pump = AppendPump(self._connection, _first_write(stream, event_type, value))
            try:
                await pump.probe()
            except WrongVersion:
                pass  # another process was quicker
            finally:
                pump.stop()
        return found

    async def _read_first(self, stream: str, client: NodeClient | None = None) -> str | None:
        request = encode_read_stream(stream, revision=0, count=1)
        events = decode_events(await self._connection.read(request, client))
        return UUID(events[0].uuid).hex if events else None

    async def _check_identity(self, client: NodeClient) -> None:
        if await self._read_first(self._names.identity, client) != self.identity:
            raise LogReplaced(f"another log stands at {self._name}: start the program again")


def _first_write(stream: str, event_type: str, value: str) -> ProposedWrite:
    """The first event of a stream that says one thing for ever, 32 hexadecimal digits: its UUID."""
    metadata = b'{"value":"%b"}' % value.encode()
    return ProposedWrite(stream, 0, (ProposedEvent(str(UUID(value)), event_type, b"{}", metadata),))
