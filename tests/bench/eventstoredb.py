"""The log in EventStoreDB beside the package that it is built on, as that package comes.

There is no EventStoreDB where this runs. So both speak with one stand-in for a node, a process of
its own in `tests/standins`, which answers at once and writes to a file without flushing it: the
rows say what the clients cost, not what a server does. Events are posts of 160 bytes; the same
events are read by both.
"""

import asyncio
import gc
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar
from uuid import uuid4

import uvloop

from events import streams
from events.codec import encode_event
from events.ids.snowflake import first_id_at
from events.log import AppendRequest, EventLog, NewEvent, StreamAppend
from events.schema import PostCreated
from infra.eventstoredb.open_log import open_event_store_log
from tests.bench.http import JSON, SECONDS, TEXT, register_user, running_starling
from tests.bench.http_load import HttpRequest, measure_load
from tests.bench.result import Result
from tests.standins.event_store_node import EventStoreProcess
from tests.support.requirements import REPOSITORY

# The imports above make it importable.
# isort: split
from eventstoredb import Client
from eventstoredb.client.types import ClientOptions
from eventstoredb.events import JsonEvent
from eventstoredb.options import AppendExpectedRevision, AppendToStreamOptions, ReadAllOptions

T = TypeVar("T")

WAITING: Final = 256
OURS: Final = 32 * WAITING
THEIRS: Final = 4 * WAITING
POSTING: Final = 8
"""Connections that send one post after another."""
READ_BY_THEM: Final = 4_000
FIRST: Final = first_id_at(1_600_000_000_000)
AUTHOR: Final = FIRST - 1
METADATA: Final = b'{"id":"%d","schema":1,"actor":"%d","causation":"0","correlation":"%d"}'


def measure(runs: int) -> list[Result]:
    """Appends and reads, each beside the package's own."""
    appended, their_appended, read, their_read = zip(*(_run() for _ in range(runs)), strict=True)
    far, near = zip(*(_post_latencies() for _ in range(runs)), strict=True)
    return [
        Result.from_runs(
            f"POST /v1/posts, median of {POSTING} connections",
            ("a stand-in for EventStoreDB 1 ms away", far),
            ("a log in SQLite", near),
            target=0.25,
            unit="ms",
            higher_is_better=False,
        ),
        Result.from_runs(
            f"appends to a stand-in for EventStoreDB, {WAITING} under way",
            ("EventStoreLog.append", appended),
            ("append_to_stream of the package eventstoredb", their_appended),
            target=10,
            unit="events/s",
        ),
        Result.from_runs(
            "reading all of a stand-in for EventStoreDB",
            ("EventStoreLog.read_all", read),
            ("read_all of the package eventstoredb", their_read),
            target=8,
            unit="events/s",
        ),
    ]


def _post_latencies() -> tuple[float, float]:
    """Median milliseconds of a post on a log in EventStoreDB, and on one in SQLite."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=REPOSITORY) as folder:
        there, here = Path(folder, "there"), Path(folder, "here")
        with (
            EventStoreProcess(Path(folder, "node.log"), delay_ms=1) as node,
            running_starling(str(there), STARLING_LOG=node.address) as far,
            running_starling(str(here)) as near,
        ):
            return _median_post(far), _median_post(near)


def _median_post(port: int) -> float:
    bearer = ("Authorization", f"Bearer {register_user(port, 'ada')}")
    post = HttpRequest(port, "/v1/posts", "POST", (bearer, JSON), json.dumps({"text": TEXT}))
    measure_load(post, 1, POSTING)
    return 1000 * measure_load(post, SECONDS, POSTING).p50


def _run() -> tuple[float, float, float, float]:
    gc.unfreeze()
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=REPOSITORY) as folder:
        here = Path(folder)
        with (
            EventStoreProcess(here / "node.log") as node,
            closing(open_event_store_log(node.address, here / "ids.sqlite")) as log,
        ):
            appended = uvloop.run(_append_ours(log))
            their_appended = uvloop.run(_append_theirs(node.port))
            read = _read_ours(log)
            return appended, their_appended, read, uvloop.run(_read_theirs(node.port))


async def _append_ours(log: EventLog) -> float:
    return await _rate(log.append, [_append(number) for number in range(OURS)])


async def _append_theirs(port: int) -> float:
    client = _client(port)
    options = AppendToStreamOptions(expected_revision=AppendExpectedRevision.NO_STREAM)

    async def append(event: tuple[str, JsonEvent]) -> None:
        await client.append_to_stream(*event, options)

    rate = await _rate(append, [_their_event(OURS + number) for number in range(THEIRS)])
    client.channel.close()
    return rate


async def _rate(append: Callable[[T], Awaitable[object]], made: list[T]) -> float:
    """Events a second, `WAITING` under way."""
    appends = iter(made)

    async def keep_appending() -> None:
        for one in appends:
            await append(one)

    began = _freeze_and_now()
    await asyncio.gather(*(keep_appending() for _ in range(WAITING)))
    return len(made) / (time.perf_counter() - began)


def _read_ours(log: EventLog) -> float:
    began = _freeze_and_now()
    events = log.read_all(limit=1 << 40)
    rate = len(events) / (time.perf_counter() - began)
    assert len(events) == OURS
    return rate


async def _read_theirs(port: int) -> float:
    client = _client(port)
    began = _freeze_and_now()
    count = 0
    async for _ in client.read_all(ReadAllOptions(max_count=READ_BY_THEM)):
        count += 1
    rate = count / (time.perf_counter() - began)
    assert count == READ_BY_THEM
    client.channel.close()
    return rate


def _client(port: int) -> Client:
    return Client(ClientOptions(host="127.0.0.1", port=port))


def _freeze_and_now() -> float:
    """Take what was made for the measurement out of the collector's sight; now, in seconds."""
    gc.collect()
    gc.freeze()
    return time.perf_counter()


def _post(number: int) -> PostCreated:
    text = f"Post {number}: the quick brown fox jumps over the lazy dog, again and again #fox"
    return PostCreated(FIRST + number * 1000, AUTHOR, text, hashtags=("fox",))


def _append(number: int) -> AppendRequest:
    post = _post(number)
    write = StreamAppend(streams.post_stream(post.post), 0, (NewEvent(post.post, post),))
    return AppendRequest((write,), AUTHOR, post.post, post.post)


def _their_event(number: int) -> tuple[str, JsonEvent]:
    """What is ready to be appended: the stream, and the event as our log would store it."""
    post = _post(number)
    name, _, data = encode_event(post)
    metadata = METADATA % (post.post, AUTHOR, post.post)
    event = JsonEvent(type=name, id=uuid4(), data=data, metadata=metadata)
    return f"theirs.{streams.post_stream(post.post)}", event
