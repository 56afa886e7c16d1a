"""The logs under test, and appends to try on them. A new adapter adds its line to
`LOG_ADAPTERS`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from events import streams
from events.ids.snowflake import first_id_at
from events.log import AppendRequest, EventLog, IdempotencyKey, LogFeatures, NewEvent, StreamAppend
from events.schema import PostCreated, PostLiked
from infra.in_memory.event_log import MemoryLog
from infra.sqlite.event_log import SqliteLog
from tests.support.event_store import event_store_is_installed, open_event_store
from tests.support.sparse_log import SPARSE_FEATURES, SparseLog


class LogAdapter(NamedTuple):
    """How to open the log in a folder, and what it can do."""

    open: Callable[[Path], EventLog]
    features: LogFeatures


LOG_ADAPTERS: Final = {
    "memory": LogAdapter(lambda folder: MemoryLog(), MemoryLog().features),
    "sparse": LogAdapter(lambda folder: SparseLog(), SPARSE_FEATURES),
    "sqlite": LogAdapter(lambda folder: SqliteLog(folder / "log.sqlite"), SqliteLog.features),
}
MULTI_PROCESS_LOGS: Final = ["sqlite"]
"""Those that several processes can open at once."""

if event_store_is_installed():
    from infra.eventstoredb.event_log import EventStoreLog

    LOG_ADAPTERS["eventstoredb"] = LogAdapter(open_event_store, EventStoreLog.features)
    MULTI_PROCESS_LOGS.append("eventstoredb")

MULTI_STREAM_LOGS: Final = [
    name for name, log in LOG_ADAPTERS.items() if log.features.multi_stream_appends
]
UNIQUE_ID_LOGS: Final = [name for name, log in LOG_ADAPTERS.items() if log.features.unique_ids]

FIRST_ID: Final = first_id_at(1_600_000_000_000)
ACTOR: Final = FIRST_ID - 1

T = TypeVar("T")


def post_append(number: int, *, key: str | None = None, text: str = "hello") -> AppendRequest:
    """The append that makes post number `number`, a stream of its own."""
    post = FIRST_ID + number
    event = NewEvent(post, PostCreated(post, ACTOR, text))
    return AppendRequest(
        writes=(StreamAppend(streams.post_stream(post), 0, (event,)),),
        actor=ACTOR,
        result_id=post,
        correlation=post,
        key=None if key is None else IdempotencyKey(key, text.encode()),
    )


def like_append(
    stream: str, expected: int, *numbers: int, key: IdempotencyKey | None = None
) -> AppendRequest:
    """An append of one like for each number, all to `stream`, which is `like-<post>-<user>`."""
    _, post, user = stream.split("-")
    events = tuple(
        NewEvent(FIRST_ID + number, PostLiked(int(post), int(user), ACTOR)) for number in numbers
    )
    first = FIRST_ID + numbers[0] if numbers else 0
    return AppendRequest((StreamAppend(stream, expected, events),), ACTOR, first, first, key=key)


def merge_appends(*appends: AppendRequest) -> AppendRequest:
    """One append of the writes of several."""
    first = appends[0]
    writes = tuple(write for append in appends for write in append.writes)
    return AppendRequest(writes, first.actor, first.result_id, first.correlation, key=first.key)


async def gather_outcomes(*awaitables: Awaitable[T]) -> list[T | BaseException]:
    """What came of each, run at once: its result or the error that it raised."""
    return await asyncio.gather(*awaitables, return_exceptions=True)


def all_event_keys(log: EventLog) -> list[tuple[int, str, int]]:
    """(id, stream, version) of all events in the order of the log."""
    return [(e.id, e.stream, e.version) for e in log.read_all(limit=1_000_000)]
