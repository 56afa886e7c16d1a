"""A projection for tests that can't take what it is told not to, and its runner."""

from typing import NamedTuple

from events import streams
from events.log import Append, NewEvent, Write
from events.recorded import Recorded
from events.schema import Event, PostCreated, PostEdited
from infra.logs.memory import MemoryLog
from infra.views.memory import MemoryStore
from projections.projection import Need, View
from projections.store import Changes
from projections.tables import Table
from streams.dead_letters import kept, letters
from streams.runner import Follower, Runner


class Said(NamedTuple):
    """What a post says now, and how often it was told to."""

    post: int
    text: str
    times: int


SAID: Table[Said] = Table("said", Said, key=1)


class Sayings:
    """A projection that can't take what is in `bad`."""

    name, version, tables = "sayings", 1, (SAID,)
    takes: tuple[type[Event], ...] = (PostCreated, PostEdited)

    def __init__(self, *bad: str) -> None:
        self.bad = set(bad)
        self.batches = 0

    def needs(self, recorded: Recorded) -> list[Need]:
        assert isinstance(recorded.event, PostCreated | PostEdited)
        return [Need(SAID, (recorded.event.post,))]

    def project(self, recorded: Recorded, view: View) -> None:
        event = recorded.event
        assert isinstance(event, PostCreated | PostEdited)
        was = view.get(SAID, (event.post,))
        view.put(SAID, Said(event.post, event.text, was.times + 1 if was else 1))
        if event.text in self.bad:
            raise ValueError(f"cannot say {event.text!r}")


async def append(log: MemoryLog, id: int, stream: str, version: int, event: Event) -> None:
    write = Write(stream, version, (NewEvent(id, event),))
    await log.append(Append((write,), actor=7, result=id, correlation=id))


async def say(log: MemoryLog, post: int, *texts: str) -> None:
    """Create a post with the first text, then edit it."""
    first, *rest = texts
    name = streams.post(post)
    await append(log, post * 100, name, 0, PostCreated(post, 7, first))
    for version, text in enumerate(rest, 1):
        await append(log, post * 100 + version, name, version, PostEdited(post, 7, text))


class Heard:
    """A runner over one log and store, and what it told its listeners."""

    def __init__(self, log: MemoryLog, projection: Sayings) -> None:
        self.changes: list[tuple[Changes, int]] = []
        self.store = MemoryStore(kept(projection))
        self.follower = Follower(projection, self.store, lambda *told: self.changes.append(told))
        self.runner = Runner(log, [self.follower])
        self.log = log

    async def run(self) -> "Heard":
        await self.runner.start()
        await self.runner.catch_up()
        return self

    async def rows(self) -> list[Said]:
        return await self.store.scan(SAID)

    async def parked(self) -> list[tuple[int, bool]]:
        """Positions of letters, and whether each has an error of its own."""
        return [(one.position, bool(one.traceback)) for one in await letters(self.store)]
