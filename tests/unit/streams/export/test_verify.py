"""`starling events verify` finds what is wrong with a log."""

from collections.abc import Collection
from typing import Any

import pytest

from commands.block import Block, Mute
from commands.follow import Follow
from commands.like import Like
from commands.post import Comment, CreatePost
from commands.request import CommandRequest
from commands.retweet import Retweet
from commands.user import Register
from events.envelope import StoredEvent
from events.event_types import EVENT_TYPES
from events.log import LOG_START
from infra.in_memory.event_log import MemoryLog
from streams.export.event_check import STREAM_OF_EVENT
from streams.export.verify import PAGE_EVENTS, verify_log
from tests.support.faulty_logs import new_handler
from tests.support.log_adapters import FIRST_ID, like_append, post_append


class Damaged(MemoryLog):
    """A log that shows these events, whatever is wrong with them."""

    def __init__(self, events: list[StoredEvent]) -> None:
        super().__init__()
        self._shown = events

    def read_all(
        self,
        after: int = LOG_START,
        *,
        types: Collection[str] | None = None,
        limit: int = 1000,
        until: int | None = None,
    ) -> list[StoredEvent]:
        return [stored for stored in self._shown if stored.position > after][:limit]

    def event_at(self, position: int) -> StoredEvent | None:
        return next((stored for stored in self._shown if stored.position == position), None)

    def head(self) -> int:
        return max(stored.position for stored in self._shown)


@pytest.fixture
async def events() -> list[StoredEvent]:
    """At positions 1 to 6: three posts, and three versions of one like."""
    log = MemoryLog()
    for number in range(3):
        await log.append(post_append(number))
    stream = f"like-{FIRST_ID}-{FIRST_ID + 10}"
    await log.append(like_append(stream, 0, 10))
    again = [stored._replace(position=5) for stored in log.read_stream(stream)]
    return [
        *log.read_all(),
        again[0]._replace(position=5, id=FIRST_ID + 11, version=2),
        again[0]._replace(position=6, id=FIRST_ID + 12, version=3),
    ]


def found(events: list[StoredEvent]) -> list[tuple[int, str]]:
    return [(finding.position, finding.what) for finding in verify_log(Damaged(events))]


def changed(events: list[StoredEvent], position: int, **fields: Any) -> list[StoredEvent]:
    return [e._replace(**fields) if e.position == position else e for e in events]


def test_nothing_is_found_in_a_whole_log(events: list[StoredEvent]) -> None:
    assert found(events) == []
    assert list(verify_log(MemoryLog())) == []


def test_an_id_that_comes_twice_is_found(events: list[StoredEvent]) -> None:
    ((position, what),) = found(changed(events, 5, id=FIRST_ID + 1))
    assert position == 5
    assert "as position 2 has" in what


def test_a_missing_version_is_found(events: list[StoredEvent]) -> None:
    ((position, what),) = found([e for e in events if e.position != 5])
    assert (position, what) == (6, "has no event of the version before it below it")
    assert [position for position, _ in found(changed(events, 3, version=2))] == [3]


def test_a_version_that_comes_twice_is_found(events: list[StoredEvent]) -> None:
    (position, what), *_ = found(changed(events, 6, version=2))
    assert position == 6
    assert "as position 5 is" in what


def test_versions_out_of_order_are_found(events: list[StoredEvent]) -> None:
    swapped = changed(changed(events, 5, version=3), 6, version=2)
    assert [position for position, _ in found(swapped)] == [5]


def test_positions_that_do_not_ascend_are_found(events: list[StoredEvent]) -> None:
    swapped = [*events[:1], events[2], events[1], *events[3:]]
    assert found(swapped) == [(2, "comes after position 3")]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"type": "post-painted"}, "no event type is stored as 'post-painted'"),
        ({"schema": 99}, "version 99"),
        ({"data": b'{"post": "1"}'}, "doesn't decode"),
        ({"data": b"\xff"}, "doesn't decode"),
        ({"stream": "post-7"}, "belongs in post-"),
    ],
)
def test_an_event_that_is_not_what_it_should_be_is_found(
    events: list[StoredEvent], fields: dict[str, Any], words: str
) -> None:
    ((position, what),) = found(changed(events, 2, **fields))
    assert position == 2
    assert words in what


async def test_progress_is_reported_after_each_page() -> None:
    log = MemoryLog()
    for number in range(PAGE_EVENTS + 5):
        await log.append(post_append(number))
    progress: list[tuple[int, int]] = []
    assert list(verify_log(log, lambda position, head: progress.append((position, head)))) == []
    assert progress == [(PAGE_EVENTS, PAGE_EVENTS + 5), (PAGE_EVENTS + 5, PAGE_EVENTS + 5)]


def test_every_event_type_has_a_stream_category() -> None:
    assert set(STREAM_OF_EVENT) == set(EVENT_TYPES)


async def world_events() -> list[StoredEvent]:
    """Two users, a post, an answer, a like, a retweet, a follow, a block and a mute."""
    log = MemoryLog()
    handler = new_handler(log)
    ada = (await handler.handle(CommandRequest(Register("ada", "Ada"), 0))).id
    bob = (await handler.handle(CommandRequest(Register("bob", "Bob"), 0))).id
    post = (await handler.handle(CommandRequest(CreatePost("hi"), ada))).id
    for command in (
        Comment(post, "hello"), Like(post), Retweet(post), Follow(ada), Mute(ada), Block(ada)
    ):  # fmt: skip
        await handler.handle(CommandRequest(command, bob))
    return log.read_all()


def missing_from(events: list[StoredEvent], gone: str) -> list[str]:
    """The types of events that refer to what is gone with the events of a type."""
    left = [stored for stored in events if stored.type != gone]
    types = {stored.position: stored.type for stored in left}
    findings = verify_log(Damaged(left), references=True)
    return [types[position] for position, what in findings if "refers to" in what]


async def test_events_that_refer_to_what_is_not_there_are_found() -> None:
    events = await world_events()
    assert list(verify_log(Damaged(events), references=True)) == []
    assert missing_from(events, "handle-claimed") == ["user-registered"] * 2
    assert missing_from(events, "post-created") == ["post-liked", "post-retweeted"]
    assert set(missing_from(events, "user-registered")) == {
        "post-created", "post-liked", "post-retweeted", "user-followed", "user-muted",
        "user-blocked",
    }  # fmt: skip


async def test_a_reference_to_what_comes_later_is_found() -> None:
    events = await world_events()
    answer = next(stored for stored in events if b"hello" in stored.data)
    early = [answer._replace(position=0), *(stored for stored in events if stored is not answer)]
    moved = [stored._replace(position=place) for place, stored in enumerate(early, 1)]
    found = [f.position for f in verify_log(Damaged(moved), references=True)]
    assert found == [1, 1]
