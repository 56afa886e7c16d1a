"""The stand-in's service of streams, on the client package's own service base."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextvars import ContextVar
from itertools import islice
from typing import Any, Final

import infra.eventstoredb.client_package  # noqa: F401 - the imports below need it

# isort: split
from eventstoredb.generated.event_store.client import WrongExpectedVersion
from eventstoredb.generated.event_store.client.streams import (
    AppendResp,
    BatchAppendResp,
    DeleteResp,
    StreamsBase,
    TombstoneResp,
)
from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError

from tests.standins.event_store import (
    ANY,
    NO_STREAM,
    STREAM_EXISTS,
    EventStore,
    PositionRefused,
    Proposed,
    Record,
    RevisionConflict,
    StreamTombstoned,
)
from tests.standins.node_faults import (
    BUSY_MESSAGE,
    Fault,
    NodeFaults,
    NotLeader,
    name_leader,
    suffer,
)
from tests.standins.read_replies import (
    CAUGHT_UP,
    EncodedReply,
    RecordFilter,
    ReplyCache,
    checkpoint,
    confirmation,
    stream_not_found,
)
from tests.standins.wire_messages import PROTOBUF_MESSAGES

MAX_APPEND_BYTES: Final = 1 << 20
EVENTS_PER_TURN: Final = 200
"""Of a long read, before other calls get their turn."""

_ALREADY_EXISTS: Final = 6
_NOT_FOUND: Final = 5
_DEADLINE_EXCEEDED: Final = 4
_INVALID_ARGUMENT: Final = 3

_expected_fields: Final = {"no_stream": NO_STREAM, "any": ANY, "stream_exists": STREAM_EXISTS}
_call: ContextVar[Any] = ContextVar("_call")
"""The `grpclib.server.Stream` of the running call."""
_BEFORE: Final = (Fault.CUT, Fault.DEAF, Fault.BUSY, Fault.NOT_LEADER)

WrongVersionDetails = PROTOBUF_MESSAGES[WrongExpectedVersion]
AppendReply = PROTOBUF_MESSAGES[AppendResp]
BatchReply = PROTOBUF_MESSAGES[BatchAppendResp]


class StreamsEndpoint(StreamsBase):
    """Appends, reads, subscriptions and deletes of one `EventStore`."""

    def __init__(self, store: EventStore, faults: NodeFaults) -> None:
        self._store = store
        self._faults = faults
        self._replies = ReplyCache()

    def __mapping__(self) -> dict[str, Handler]:
        """As the base has it, with protobuf's messages for betterproto's."""
        return {
            path: Handler(
                self._entered(handler.func),
                handler.cardinality,
                PROTOBUF_MESSAGES[handler.request_type],
                EncodedReply if path.endswith("/Read") else PROTOBUF_MESSAGES[handler.reply_type],
            )
            for path, handler in super().__mapping__().items()
        }

    def _entered(self, function: Any) -> Any:
        async def enter(call: Any) -> None:
            _call.set(call)
            try:
                await function(call)
            except NotLeader:
                await name_leader(self._faults.leader, call)

        return enter

    # ---- reading ----

    async def read(  # type: ignore[override]
        self, read_req: Any
    ) -> AsyncIterator[EncodedReply]:
        await self._delay()
        await suffer(self._faults.next_read(), _call.get())
        options = read_req.options
        if options.WhichOneof("count_option") == "subscription":
            replies = self._subscribe(options)
        elif options.WhichOneof("stream_option") == "all":
            replies = self._read_all(options)
        else:
            replies = self._read_stream(options)
        async for reply in replies:
            yield reply

    async def _read_all(self, options: Any) -> AsyncIterator[EncodedReply]:
        wanted = RecordFilter(options)
        start = options.all.WhichOneof("all_option")
        position = options.all.position.commit_position if start == "position" else None
        try:
            if options.read_direction:
                records = self._store.read_backwards(0 if start == "start" else position)
            elif start == "end":
                records = iter(())
            else:
                records = self._store.read_forwards(position or 0)
        except PositionRefused as error:
            raise GRPCError(Status.UNKNOWN, "Unexpected ReadAllResult: Error") from error
        async for reply in self._send(filter(wanted, records), options):
            yield reply

    async def _read_stream(self, options: Any) -> AsyncIterator[EncodedReply]:
        name = options.stream.stream_identifier.stream_name
        records = self._visible(name.decode())
        if not records:
            yield stream_not_found(name)
            return
        start = options.stream.WhichOneof("revision_option")
        first = records[0].revision
        if start == "revision":
            index = max(0, options.stream.revision - first)
        else:
            index = 0 if start == "start" else len(records)
        if options.read_direction:
            chosen = records[: index + 1][::-1]
        else:
            chosen = records[index:]
        async for reply in self._send(iter(chosen), options):
            yield reply

    async def _send(self, records: Iterator[Record], options: Any) -> AsyncIterator[EncodedReply]:
        count = min(options.count, (1 << 63) - 1)
        for number, record in enumerate(islice(records, count), start=1):
            yield self._replies.of(record, options)
            if number % EVENTS_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _subscribe(self, options: Any) -> AsyncIterator[EncodedReply]:
        index, caught_up = self._first_index(options), False
        yield confirmation()
        wanted = RecordFilter(options)
        filtered = options.WhichOneof("filter_option") == "filter"
        changed = asyncio.Event()
        stop_listening = self._store.listen(changed.set)
        try:
            while True:
                records = self._subscribed(options)
                while index < len(records):
                    record = records[index]
                    index += 1
                    if wanted(record):
                        yield self._replies.of(record, options)
                if not caught_up:
                    caught_up = True
                    if filtered:
                        yield checkpoint(self._store.records[-1].position)
                    yield CAUGHT_UP
                await changed.wait()
                changed.clear()
        finally:
            stop_listening()

    def _subscribed(self, options: Any) -> Sequence[Record]:
        if options.WhichOneof("stream_option") == "all":
            return self._store.records
        return self._visible(options.stream.stream_identifier.stream_name.decode())

    def _first_index(self, options: Any) -> int:
        """Of the first record that a subscription shows: it begins behind the place it names."""
        records = self._subscribed(options)
        if options.WhichOneof("stream_option") == "all":
            start = options.all.WhichOneof("all_option")
            place = options.all.position.commit_position
            places = [record.position for record in records]
        else:
            start = options.stream.WhichOneof("revision_option")
            place = options.stream.revision
            places = [record.revision for record in records]
        if start == "start":
            return 0
        if start == "end":
            return len(records)
        return sum(1 for one in places if one <= place)

    def _visible(self, name: str) -> list[Record]:
        try:
            return self._store.visible(name)
        except StreamTombstoned as error:
            raise _stream_deleted(name) from error

    # ---- writing ----

    async def append(self, append_req_iterator: AsyncIterator[Any]) -> Any:
        await self._delay()
        options, events = None, list[Proposed]()
        async for request in append_req_iterator:
            if request.WhichOneof("content") == "options":
                options = request.options
            else:
                events.append(_proposed(request.proposed_message))
        assert options is not None
        fault = self._faults.next_append()
        if fault in _BEFORE:
            await suffer(fault, _call.get())
        name = options.stream_identifier.stream_name.decode()
        expected = _expected(options, "expected_stream_revision", "revision")
        reply = AppendReply()
        try:
            written = self._store.append(name, expected, events)
        except StreamTombstoned as error:
            raise _stream_deleted(name) from error
        except RevisionConflict as conflict:
            _describe_conflict(reply.wrong_expected_version, conflict.current, expected)
        else:
            _describe_written(reply.success, written.revision, written.position)
        await suffer(fault, _call.get())
        return reply

    async def batch_append(  # type: ignore[override]
        self, batch_append_req_iterator: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        replies: asyncio.Queue[tuple[float, Any]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def receive() -> None:
            gathered: dict[str, list[Proposed]] = {}
            options: dict[str, Any] = {}
            async for request in batch_append_req_iterator:
                correlation = request.correlation_id.SerializeToString()
                if request.HasField("options"):
                    options[correlation] = request.options
                events = gathered.setdefault(correlation, [])
                events += map(_proposed, request.proposed_messages)
                if request.is_final:
                    reply = await self._append_batch(
                        options.pop(correlation), gathered.pop(correlation)
                    )
                    reply.correlation_id.CopyFrom(request.correlation_id)
                    replies.put_nowait((loop.time() + self._faults.delay, reply))
            replies.put_nowait((0, None))

        receiving = loop.create_task(receive())
        receiving.add_done_callback(lambda done: replies.put_nowait((0, done)))
        try:
            while True:
                due, reply = await replies.get()
                if reply is None:
                    return
                if reply is receiving:
                    receiving.result()
                    return
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                yield reply
        finally:
            receiving.cancel()

    async def _append_batch(self, options: Any, events: list[Proposed]) -> Any:
        reply = BatchReply()
        reply.stream_identifier.CopyFrom(options.stream_identifier)
        fault = self._faults.next_append()
        if fault is Fault.BUSY:
            reply.error.message = BUSY_MESSAGE  # and no code
            return reply
        if fault in _BEFORE:
            await suffer(fault, _call.get())
        name = options.stream_identifier.stream_name.decode()
        expected = _expected(options, "expected_stream_position", "stream_position")
        if sum(len(event.data) + len(event.metadata) for event in events) > MAX_APPEND_BYTES:
            reply.error.code = _INVALID_ARGUMENT
            reply.error.message = "Maximum Append Size Exceeded"
            return reply
        try:
            written = self._store.append(name, expected, events)
        except StreamTombstoned:
            reply.error.code, reply.error.message = _NOT_FOUND, f"Stream {name} is deleted"
        except RevisionConflict as conflict:
            details = WrongVersionDetails()
            if conflict.current < 0:
                details.current_no_stream.SetInParent()
            else:
                details.current_stream_revision = conflict.current
            reply.error.code = _ALREADY_EXISTS
            reply.error.message = "WrongExpectedVersion"
            reply.error.details.type_url = "type.googleapis.com/WrongExpectedVersion"
            reply.error.details.value = details.SerializeToString()
        else:
            _describe_written(reply.success, written.revision, written.position)
        if fault is Fault.TIMED_OUT:
            reply.Clear()
            reply.error.code, reply.error.message = _DEADLINE_EXCEEDED, "Timeout"
        else:
            await suffer(fault, _call.get())
        return reply

    async def delete(self, delete_req: Any) -> Any:
        return self._delete(delete_req.options, PROTOBUF_MESSAGES[DeleteResp](), for_good=False)

    async def tombstone(self, tombstone_req: Any) -> Any:
        reply = PROTOBUF_MESSAGES[TombstoneResp]()
        return self._delete(tombstone_req.options, reply, for_good=True)

    def _delete(self, options: Any, reply: Any, *, for_good: bool) -> Any:
        name = options.stream_identifier.stream_name.decode()
        expected = _expected(options, "expected_stream_revision", "revision")
        try:
            position = self._store.delete(name, expected, for_good=for_good)
        except StreamTombstoned as error:
            raise _stream_deleted(name) from error
        except RevisionConflict as error:
            raise GRPCError(Status.FAILED_PRECONDITION, "WrongExpectedVersion") from error
        reply.position.commit_position = reply.position.prepare_position = position
        return reply

    async def _delay(self) -> None:
        if self._faults.delay:
            await asyncio.sleep(self._faults.delay)


def _proposed(message: Any) -> Proposed:
    metadata = message.metadata
    id = message.id.string.lower()
    if not id or "type" not in metadata:
        raise GRPCError(Status.INVALID_ARGUMENT, "Required Metadata Property 'type' is missing")
    content_type = metadata["content-type"]
    return Proposed(id, metadata["type"], content_type, message.custom_metadata, message.data)


def _expected(options: Any, group: str, number: str) -> int:
    chosen = options.WhichOneof(group)
    if chosen is None:
        raise GRPCError(Status.INVALID_ARGUMENT, "no expected revision")
    return int(getattr(options, number)) if chosen == number else _expected_fields[chosen]


def _describe_written(success: Any, revision: int, position: int) -> None:
    if revision < 0:
        success.no_stream.SetInParent()
    else:
        success.current_revision = revision
    if position:
        success.position.commit_position = success.position.prepare_position = position
    else:
        success.no_position.SetInParent()


def _describe_conflict(wrong: Any, current: int, expected: int) -> None:
    if current < 0:
        wrong.current_no_stream.SetInParent()
    else:
        wrong.current_revision = current
    if expected >= 0:
        wrong.expected_revision = expected
    else:
        name = next(name for name, value in _expected_fields.items() if value == expected)
        getattr(wrong, f"expected_{name}").SetInParent()


def _stream_deleted(name: str) -> GRPCError:
    return GRPCError(Status.FAILED_PRECONDITION, f"Event stream '{name}' is deleted.")
