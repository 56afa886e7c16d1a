"""What shows images follows the log, and unused images are removed."""

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

from api.media.errors import MediaUnavailable
from api.media.media_follower import GRACE_MS, MediaFollower
from api.media.media_library import UNSHOWN_MS
from api.media.media_records import Upload
from api.media.media_store import thumbnail_name
from events.ids.snowflake import first_id_at
from events.log import AppendRequest, NewEvent, StreamAppend
from events.schema import Event, Medium, PostCreated, PostDeleted, ProfileChanged, UserDeleted
from infra.in_memory.event_log import MemoryLog
from infra.sqlite.media_records import SqliteMediaRecords
from tests.support.decider_dsl import stream_of
from tests.support.manual_clock import ManualClock
from tests.support.media import MediaInMemory

NOW = 1_770_000_000_000
ADA, BOB = 7, 8
X, Y = Medium("aa" * 32, "image/png", 4, 3), Medium("bb" * 32, "image/png", 4, 3)


class World:
    """A log, and the images of it."""

    def __init__(self, records: SqliteMediaRecords) -> None:
        self.clock = ManualClock(NOW)
        self.log = MemoryLog()
        self.records = records
        self.store = MediaInMemory()
        self.versions: dict[str, int] = {}

    def follower(self) -> MediaFollower:
        return MediaFollower(self.log, self.records, self.store, self.clock)

    async def upload(self, owner: int, medium: Medium) -> None:
        assert await self.records.add_upload(Upload(owner, medium, self.clock()), 9)
        for name in (medium.id, thumbnail_name(medium.id)):
            await self.store.put(name, b"bytes")

    async def happen(self, event: Event) -> None:
        self.clock.sleep(1)
        stream = stream_of(event)
        version = self.versions.get(stream, 0)
        self.versions[stream] = version + 1
        id = first_id_at(self.clock())
        write = StreamAppend(stream, version, (NewEvent(id, event),))
        await self.log.append(AppendRequest((write,), ADA, id, id))

    async def sweep(self) -> set[str]:
        """The images that are left then."""
        follower = self.follower()
        await follower.catch_up()
        await follower.sweep()
        names = set(self.store.files)
        assert {thumbnail_name(n) for n in names if "-" not in n} == {n for n in names if "-" in n}
        return {name for name in names if "-" not in name}


@pytest.fixture
def world() -> Iterator[World]:
    with closing(SqliteMediaRecords(":memory:")) as records:
        yield World(records)


async def test_an_image_lives_from_its_upload_to_the_end_of_what_shows_it(world: World) -> None:
    await world.upload(ADA, X)
    await world.upload(ADA, Y)
    assert await world.sweep() == {X.id, Y.id}
    await world.happen(PostCreated(1, ADA, "x", media=(X,)))
    await world.happen(ProfileChanged(ADA, "Ada", "", avatar=Y.id))
    world.clock.sleep((UNSHOWN_MS + GRACE_MS) / 1000 + 1)
    assert await world.sweep() == {X.id, Y.id}
    await world.happen(ProfileChanged(ADA, "Ada", "", header=Y.id))
    await world.happen(PostDeleted(1, ADA))
    assert await world.sweep() == {Y.id}
    await world.happen(UserDeleted(ADA, "ada"))
    assert await world.sweep() == set()


async def test_ids_of_before_there_were_images_are_left_alone(world: World) -> None:
    await world.store.put("f00d", b"bytes")
    await world.happen(PostCreated(1, ADA, "x", media=(Medium("f00d"), Medium("../etc"))))
    await world.happen(PostDeleted(1, ADA))
    await world.follower().catch_up()
    await world.follower().sweep()
    assert "f00d" in world.store.files


async def test_followers_of_several_processes_do_each_thing_once(world: World) -> None:
    await world.upload(ADA, X)
    await world.happen(PostCreated(1, ADA, "x", media=(X,)))
    followers = [world.follower() for _ in range(3)]
    for turn in range(4):
        await asyncio.gather(*(follower.catch_up() for follower in followers))
        await world.happen(PostCreated(turn + 2, BOB, "y", media=(X,)))
    for post, author in ((1, ADA), (2, BOB), (3, BOB), (4, BOB), (5, BOB)):
        assert await world.sweep() == {X.id}
        await world.happen(PostDeleted(post, author))
        await asyncio.gather(*(follower.catch_up() for follower in followers))
    assert await world.sweep() == set()


async def test_an_older_log_that_was_put_back_is_followed_from_its_start(world: World) -> None:
    await world.upload(ADA, X)
    await world.upload(ADA, Y)
    for post, medium in ((1, X), (2, Y)):
        await world.happen(PostCreated(post, ADA, "x", media=(medium,)))
    assert await world.sweep() == {X.id, Y.id}
    world.log, world.versions = MemoryLog(), {}
    await world.happen(PostCreated(1, ADA, "x", media=(X,)))
    assert await world.sweep() == {X.id}


async def test_what_could_not_be_removed_is_removed_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.upload(ADA, X)
    await world.happen(PostCreated(1, ADA, "x", media=(X,)))
    await world.happen(PostDeleted(1, ADA))

    async def fail(names: object) -> None:
        raise MediaUnavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "delete", fail)
        follower = world.follower()
        await follower.catch_up()
        with pytest.raises(MediaUnavailable):
            await follower.sweep()
    assert await world.sweep() == {X.id}, "the claim of the first may still be at work"
    world.clock.sleep(61)
    assert await world.sweep() == set()
