"""A projection for tests that fails on events of chosen texts, and its runner."""

from typing import NamedTuple

from events import streams
from events.envelope import RecordedEvent
from events.log import AppendRequest, NewEvent, StreamAppend
from events.schema import Event, PostCreated, PostEdited
from infra.in_memory.event_log import MemoryLog
from infra.in_memory.read_store import MemoryReadStore
from projections.projection import BatchRows, RowRead
from projections.store import Changes
from projections.tables import Table
from streams.projecting.dead_letters import read_dead_letters, tables_with_dead_letters
from streams.projecting.log_runner import LogRunner, RunningProjection


class PostText(NamedTuple):
    """The text of a post, and how often it was applied."""

    post: int
    text: str
    times: int


POST_TEXTS: Table[PostText] = Table("said", PostText, key_size=1)


class FailingProjection:
    """A projection that fails on the texts in `bad`."""

    name, version, tables = "sayings", 1, (POST_TEXTS,)
    event_types: tuple[type[Event], ...] = (PostCreated, PostEdited)

    def __init__(self, *bad: str) -> None:
        self.failing_texts = set(bad)
        self.batches = 0

    def rows_to_read(self, recorded: RecordedEvent) -> list[RowRead]:
        assert isinstance(recorded.event, PostCreated | PostEdited)
        return [RowRead(POST_TEXTS, (recorded.event.post,))]

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        event = recorded.event
        assert isinstance(event, PostCreated | PostEdited)
        was = view.get(POST_TEXTS, (event.post,))
        view.put(POST_TEXTS, PostText(event.post, event.text, was.times + 1 if was else 1))
        if event.text in self.failing_texts:
            raise ValueError(f"cannot say {event.text!r}")


async def append_event(log: MemoryLog, id: int, stream: str, version: int, event: Event) -> None:
    write = StreamAppend(stream, version, (NewEvent(id, event),))
    await log.append(AppendRequest((write,), actor=7, result_id=id, correlation=id))


async def append_post(log: MemoryLog, post: int, *texts: str) -> None:
    """Create a post with the first text, then edit it."""
    first, *rest = texts
    name = streams.post_stream(post)
    await append_event(log, post * 100, name, 0, PostCreated(post, 7, first))
    for version, text in enumerate(rest, 1):
        await append_event(log, post * 100 + version, name, version, PostEdited(post, 7, text))


class RecordingRunner:
    """A runner over one log and store, with the changes that its listener got."""

    def __init__(self, log: MemoryLog, projection: FailingProjection) -> None:
        self.changes: list[tuple[Changes, int]] = []
        self.store = MemoryReadStore(tables_with_dead_letters(projection))
        self.follower = RunningProjection(
            projection, self.store, lambda *applied: self.changes.append(applied)
        )
        self.runner = LogRunner(log, [self.follower])
        self.log = log

    async def catch_up(self) -> "RecordingRunner":
        await self.runner.start()
        await self.runner.catch_up()
        return self

    async def read_rows(self) -> list[PostText]:
        return await self.store.scan(POST_TEXTS)

    async def dead_letter_positions(self) -> list[tuple[int, bool]]:
        """Positions of dead letters, and whether each has an error of its own."""
        return [(one.position, bool(one.traceback)) for one in await read_dead_letters(self.store)]
