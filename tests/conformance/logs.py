"""The logs under test, and appends to try on them. A new adapter adds its line to `LOGS`."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from events import streams
from events.log import Append, EventLog, Key, LogFeatures, NewEvent, Write
from events.schema import PostCreated, PostLiked
from events.snowflake import first_id_at
from infra.logs.memory import MemoryLog
from infra.logs.sqlite import SqliteLog


class Adapter(NamedTuple):
    """How to open the log in a folder, and what it can do."""

    open: Callable[[Path], EventLog]
    features: LogFeatures


LOGS: Final = {
    "memory": Adapter(lambda folder: MemoryLog(), MemoryLog().features),
    "sqlite": Adapter(lambda folder: SqliteLog(folder / "log.sqlite"), SqliteLog.features),
}
MANY_STREAMS: Final = [name for name, log in LOGS.items() if log.features.many_streams]
MANY_PROCESSES: Final = [name for name, log in LOGS.items() if log.features.many_processes]

FIRST_ID: Final = first_id_at(1_600_000_000_000)
ACTOR: Final = FIRST_ID - 1

T = TypeVar("T")


def posting(number: int, *, key: str | None = None, text: str = "hello") -> Append:
    """The append that makes post number `number`, a stream of its own."""
    post = FIRST_ID + number
    event = NewEvent(post, PostCreated(post, ACTOR, text))
    return Append(
        writes=(Write(streams.post(post), 0, (event,)),),
        actor=ACTOR,
        result=post,
        correlation=post,
        key=None if key is None else Key(key, text.encode()),
    )


def liking(stream: str, expected: int, *numbers: int, key: Key | None = None) -> Append:
    """An append of one like for each number, all to `stream`, which is `like-<post>-<user>`."""
    _, post, user = stream.split("-")
    events = tuple(
        NewEvent(FIRST_ID + number, PostLiked(int(post), int(user), ACTOR)) for number in numbers
    )
    first = FIRST_ID + numbers[0] if numbers else 0
    return Append((Write(stream, expected, events),), ACTOR, first, first, key=key)


def together(*appends: Append) -> Append:
    """One append of the writes of several."""
    first = appends[0]
    writes = tuple(write for append in appends for write in append.writes)
    return Append(writes, first.actor, first.result, first.correlation, key=first.key)


async def outcomes(*awaitables: Awaitable[T]) -> list[T | BaseException]:
    """What came of each, run at once: its result or the error that it raised."""
    return await asyncio.gather(*awaitables, return_exceptions=True)


def everything(log: EventLog) -> list[tuple[int, str, int]]:
    """(id, stream, version) of all events in the order of the log."""
    return [(e.id, e.stream, e.version) for e in log.read_all(limit=1_000_000)]
