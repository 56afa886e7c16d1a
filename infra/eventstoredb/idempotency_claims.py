"""Idempotency keys in a store that can only append to one stream at a time.

A key has a stream of its own, whose last event is its *claim*: the whole append that the key stands
for, with the UUIDs of its events. The claim is appended first, where only one of several processes
can win, and then the events are. What became of a claim is seen in the stream that it is about, at
the version that it expected:

- an event of the claim: the key is used, and this is its result;
- another event: the claim is dead for ever, since versions only grow. A new one is put over it;
- no event: its process died, or is only slow. A later append with this key does the claim's append
  for it, which is safe because UUIDs and version make it the same append.

That is why a claim holds the events: no process could do another's append without them, nor tell
one that died from one that is slow.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final
from uuid import uuid4

import msgspec

from events.log import (
    AppendRequest,
    AppendResult,
    IdempotencyKey,
    IdempotencyKeyReused,
    IdempotencyResult,
    LogError,
    WrongVersion,
)
from infra.eventstoredb.append_pump import AppendPump, ProposedWrite
from infra.eventstoredb.connection import NodeConnection
from infra.eventstoredb.stream_names import StreamNames
from infra.eventstoredb.wire import ProposedEvent, ReadEvent, decode_events, encode_read_stream

CLAIM_TYPE: Final = "idempotency-claim"


class ClaimedEvent(msgspec.Struct):
    """An event of a claim, as it is to be appended."""

    uuid: str
    type: str
    metadata: msgspec.Raw
    data: msgspec.Raw


class Claim(msgspec.Struct):
    """The append that a key stands for. Numbers of 64 bits are strings."""

    name: str
    fingerprint: str
    """Hexadecimal."""
    result: str
    stream: str = ""
    """Its name in EventStoreDB."""
    expected_version: int = 0
    events: list[ClaimedEvent] = []
    position: str = "0"
    """Of the result, where there are no events."""
    void: bool = False
    """No claim, but put over one that named a version which its stream had not reached: it would
    come true later, after its owner was told that it was refused."""

    def write(self) -> ProposedWrite:
        """The append of its events."""
        events = tuple(
            ProposedEvent(event.uuid, event.type, bytes(event.metadata), bytes(event.data))
            for event in self.events
        )
        return ProposedWrite(self.stream, self.expected_version, events, int(self.result))


_decode_claim: Final = msgspec.json.Decoder(Claim).decode


class IdempotencyClaims:
    """Appends with a key; its coroutines run on the connection's thread."""

    def __init__(self, connection: NodeConnection, names: StreamNames) -> None:
        self._connection = connection
        self._names = names
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}  # and how many use it

    async def result(self, key: str) -> IdempotencyResult | None:
        """What the first append with a key gave; None while it has none."""
        _, claim = await self._last_claim(key)
        if claim is None:
            return None
        position = await self._position(claim)
        if position is None:
            return None
        return IdempotencyResult(bytes.fromhex(claim.fingerprint), int(claim.result), position)

    @asynccontextmanager
    async def key_held(self, key: IdempotencyKey) -> AsyncIterator[None]:
        """One append of this process at a time has a key; they get it in their order."""
        lock, users = self._locks.get(key.name, (asyncio.Lock(), 0))
        self._locks[key.name] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(key.name)
            if users > 1:
                self._locks[key.name] = lock, users - 1

    async def earlier_result(self, key: IdempotencyKey, pump: AppendPump) -> AppendResult | None:
        """The result of the append that has the key, finished where it was not.

        Raises `IdempotencyKeyReused`, `LogUnavailable`.
        """
        _, claim = await self._last_claim(key.name)
        return None if claim is None else await self._settle(claim, key, pump)

    async def append(
        self,
        append: AppendRequest,
        key: IdempotencyKey,
        pump: AppendPump,
        write: ProposedWrite | None,
        position: int,
    ) -> AppendResult:
        """Append with a key that is held; without a `write` only the key is kept, with `position`.

        Raises `IdempotencyKeyReused`, `WrongVersion`, `LogUnavailable`.
        """
        claim = Claim(
            key.name, key.fingerprint.hex(), str(append.result_id), position=str(position)
        )
        if write is not None:
            claim.stream, claim.expected_version = write.stream, write.expected_version
            claim.events = [
                ClaimedEvent(uuid, type, msgspec.Raw(metadata), msgspec.Raw(data))
                for uuid, type, metadata, data in write.events
            ]
        stream, version, data = self._names.of_key(key.name), 0, msgspec.json.encode(claim)
        while True:
            event = ProposedEvent(str(uuid4()), CLAIM_TYPE, b"{}", data)
            try:
                await pump.submit(ProposedWrite(stream, version, (event,)))
                break
            except WrongVersion:
                version, found = await self._last_claim(key.name)
                earlier = None if found is None else await self._settle(found, key, pump)
                if earlier is not None:
                    return earlier
        if write is None:
            return AppendResult(append.result_id, position)
        try:
            return await pump.submit(write)
        except WrongVersion:
            if not await self._events_at(claim):
                await self._void(claim, stream, version + 1, pump)
            raise

    async def _void(self, claim: Claim, stream: str, version: int, pump: AppendPump) -> None:
        void = Claim(claim.name, claim.fingerprint, claim.result, void=True)
        event = ProposedEvent(str(uuid4()), CLAIM_TYPE, b"{}", msgspec.json.encode(void))
        with suppress(WrongVersion):  # another claim is over it
            await pump.submit(ProposedWrite(stream, version, (event,)))

    async def _settle(
        self, claim: Claim, key: IdempotencyKey, pump: AppendPump
    ) -> AppendResult | None:
        """The result of a claim, which is done where it was not; None for a dead claim."""
        position = await self._position(claim)
        if position is None:
            if claim.void:
                return None
            try:
                position = (await pump.submit(claim.write())).position
            except WrongVersion:
                return None
        if bytes.fromhex(claim.fingerprint) != key.fingerprint:
            raise IdempotencyKeyReused(key.name)
        return AppendResult(int(claim.result), position, replayed=True)

    async def _position(self, claim: Claim) -> int | None:
        """Of the last event of a claim; None where it isn't done, or dead."""
        if claim.void:
            return None
        if not claim.events:
            return int(claim.position)
        there = await self._events_at(claim)
        if not there or there[0].uuid != claim.events[0].uuid:
            return None
        return there[-1].position

    async def _events_at(self, claim: Claim) -> list[ReadEvent]:
        """What stands where a claim's events belong."""
        request = encode_read_stream(
            claim.stream, revision=claim.expected_version, count=len(claim.events)
        )
        return decode_events(await self._connection.read(request))

    async def _last_claim(self, key: str) -> tuple[int, Claim | None]:
        """The version of a key's stream, and the claim there."""
        stream = self._names.of_key(key)
        request = encode_read_stream(stream, revision=None, count=1, backwards=True)
        events = decode_events(await self._connection.read(request))
        if not events:
            return 0, None
        try:
            claim = _decode_claim(events[0].data)
        except msgspec.DecodeError as error:
            raise LogError(f"{stream} holds an event that is no claim") from error
        if claim.name != key:
            raise LogError(f"{stream} holds the claim of another key")
        return events[0].revision + 1, claim
