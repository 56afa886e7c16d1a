"""Rings as the projector writes them: what they hold, when they are kept, when they are dropped."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.in_memory.read_store import MemoryReadStore
from infra.shared_memory.fanout import RingFanout, RingsInUse
from infra.shared_memory.ring_layout import BOOT_WORD, SLOTS_PER_SET, layout_for, map_ring_file
from infra.shared_memory.ring_reader import RingReader
from projections.follow_graph import FollowEdge
from projections.home.viewer import ViewerContext
from projections.store import Changes
from projections.timeline import (
    FOLLOW_GRAPH,
    HIGH_FANOUT_AUTHORS,
    POST_ENTRIES,
    RETWEET_ENTRIES,
    HighFanoutAuthor,
    PostEntry,
    RetweetEntry,
    TimelineProjection,
)

ANN, BEN, CAT, DAN = 1, 2, 3, 4
TIMELINE = TimelineProjection()


class RingProjector:
    """A store and the rings that follow it."""

    def __init__(self, folder: Path, keep: int = 8) -> None:
        self.folder = folder
        self.store = MemoryReadStore(TIMELINE.tables)
        self.fanout = RingFanout(folder, slots=128, ring_length=keep)
        self.rings = RingReader(folder)
        self.position = 0

    async def apply_changes(self, changes: Changes, deliver: bool = True) -> None:
        await self.store.apply(changes, self.position, self.position + 1)
        self.position += 1
        if deliver:
            self.fanout.deliver_changes(changes, self.position)

    async def follow(self, *pairs: tuple[int, int]) -> None:
        edges = {
            (followee, follower): FollowEdge(followee, follower, 1) for followee, follower in pairs
        }
        await self.apply_changes(Changes(puts={FOLLOW_GRAPH.edges: dict(edges)}))

    async def post(self, author: int, *ids: int) -> None:
        await self.apply_changes(
            Changes(puts={POST_ENTRIES: {(id,): PostEntry(id, author) for id in ids}})
        )

    async def read_ring(self, key: int) -> list[int] | None:
        ring = self.rings.read_ring(key)
        return None if ring is None else list(ring.entries)

    async def request_rings(self, *keys: int) -> None:
        for key in keys:
            self.rings.request_ring(key)
            await self.fanout.run_maintenance(self.store)


@pytest.fixture
async def projector(tmp_path: Path) -> AsyncIterator[RingProjector]:
    projector = RingProjector(tmp_path)
    await projector.fanout.start(projector.store, "here")
    await projector.follow((ANN, BEN), (ANN, CAT))
    yield projector
    projector.fanout.close()


async def test_a_requested_ring_is_built_and_holds_the_newest(projector: RingProjector) -> None:
    await projector.post(ANN, *range(1, 11))
    assert await projector.read_ring(BEN) is None
    await projector.request_rings(BEN)
    assert await projector.read_ring(BEN) == [3, 4, 5, 6, 7, 8, 9, 10]


async def test_posts_and_retweets_reach_every_active_follower_and_the_author(
    projector: RingProjector,
) -> None:
    await projector.request_rings(ANN, BEN, CAT, DAN)
    await projector.post(ANN, 10)
    await projector.apply_changes(
        Changes(puts={RETWEET_ENTRIES: {(11,): RetweetEntry(11, ANN, 5)}})
    )
    for reader in (ANN, BEN, CAT):
        assert await projector.read_ring(reader) == [10, -11]
    assert await projector.read_ring(DAN) == []


async def test_a_full_ring_lets_go_of_its_oldest_entries(projector: RingProjector) -> None:
    await projector.request_rings(BEN)
    for id in range(1, 40):
        await projector.post(ANN, id)
    ring = projector.rings.read_ring(BEN)
    assert ring is not None
    assert list(ring.entries) == list(range(32, 40))
    assert not ring.complete


async def test_late_entries_find_their_place_once(projector: RingProjector) -> None:
    await projector.request_rings(BEN)
    await projector.post(ANN, 10, 20, 30)
    await projector.post(ANN, 15)
    await projector.post(ANN, 15, 20)
    assert await projector.read_ring(BEN) == [10, 15, 20, 30]
    await projector.post(ANN, *range(40, 45))
    await projector.post(ANN, 5)
    assert await projector.read_ring(BEN) == [15, 20, 30, 40, 41, 42, 43, 44]


async def test_a_new_followee_hides_the_ring_until_its_entries_are_merged_in(
    projector: RingProjector,
) -> None:
    await projector.post(DAN, 1, 12)
    await projector.request_rings(BEN)
    await projector.post(ANN, 10)
    await projector.follow((DAN, BEN))
    await projector.post(DAN, 11)
    assert await projector.read_ring(BEN) is None
    await projector.fanout.run_maintenance(projector.store)
    assert await projector.read_ring(BEN) == [1, 10, 11, 12]


async def test_an_unfollow_ends_deliveries(projector: RingProjector) -> None:
    await projector.request_rings(BEN, CAT)
    await projector.apply_changes(Changes(deletes={FOLLOW_GRAPH.edges: {(ANN, BEN)}}))
    await projector.post(ANN, 10)
    assert await projector.read_ring(BEN) == []
    assert await projector.read_ring(CAT) == [10]


async def test_a_high_fanout_author_writes_one_outbox_and_no_ring(projector: RingProjector) -> None:
    await projector.request_rings(ANN, BEN)
    await projector.post(ANN, 10)
    await projector.apply_changes(
        Changes(puts={HIGH_FANOUT_AUTHORS: {(ANN,): HighFanoutAuthor(ANN)}})
    )
    await projector.request_rings(-ANN, CAT, -BEN)
    viewer = ViewerContext(BEN, high_fanout_authors=frozenset({ANN}))
    before = projector.rings.version(viewer)
    await projector.post(ANN, 11)
    assert await projector.read_ring(-ANN) == [10, 11]
    assert projector.rings.version(viewer) != before
    assert [await projector.read_ring(reader) for reader in (ANN, BEN, CAT, -BEN)] == [
        [10],
        [10],
        [],
        None,
    ]


async def test_rings_without_readers_are_evicted(projector: RingProjector) -> None:
    first = layout_for(128, 8).first_slot(BEN)
    same = [key for key in range(1000, 9000) if layout_for(128, 8).first_slot(key) == first][
        :SLOTS_PER_SET
    ]
    await projector.request_rings(BEN, *same[:-1])
    assert await projector.read_ring(BEN) == []
    for key in same[:-1]:
        assert await projector.read_ring(key) == []
    await projector.request_rings(same[-1])  # all were read: the hand goes round once
    lost = [key for key in (BEN, *same[:-1]) if await projector.read_ring(key) is None]
    assert len(lost) == 1
    await projector.request_rings(*lost)
    assert [await projector.read_ring(key) for key in lost] == [[]]
    await projector.post(ANN, 10)
    for key in same:
        assert await projector.read_ring(key) in (None, [])


async def restarted(projector: RingProjector, source: str = "here") -> list[int] | None:
    projector.fanout.close()
    projector.fanout = RingFanout(projector.folder, slots=128, ring_length=8)
    await projector.fanout.start(projector.store, source)
    return await projector.read_ring(BEN)


async def test_a_restart_keeps_the_rings_and_goes_on_delivering(projector: RingProjector) -> None:
    await projector.request_rings(BEN)
    await projector.post(ANN, 10)
    assert await restarted(projector) == [10]
    await projector.post(ANN, 11)
    await projector.post(ANN, 9)
    assert await projector.read_ring(BEN) == [9, 10, 11]


async def test_a_batch_applied_but_not_delivered_drops_the_rings(projector: RingProjector) -> None:
    await projector.request_rings(BEN)
    await projector.apply_changes(
        Changes(puts={POST_ENTRIES: {(10,): PostEntry(10, ANN)}}), deliver=False
    )
    assert await restarted(projector) is None


async def test_another_store_drops_the_rings(projector: RingProjector) -> None:
    await projector.request_rings(BEN)
    assert await restarted(projector, "there") is None


async def test_another_boot_of_the_machine_drops_the_rings(projector: RingProjector) -> None:
    await projector.request_rings(BEN)
    found = map_ring_file(projector.folder / "rings")
    assert found is not None
    memoryview(found[1]).cast("q")[BOOT_WORD] += 1
    assert await restarted(projector) is None


async def test_a_ring_whose_followee_was_never_merged_in_is_dropped(
    projector: RingProjector,
) -> None:
    await projector.request_rings(BEN, CAT)
    await projector.follow((DAN, BEN))
    assert await restarted(projector) is None
    assert await projector.read_ring(CAT) == []


async def test_a_file_of_other_measures_is_replaced_and_readers_notice(
    projector: RingProjector,
) -> None:
    await projector.request_rings(BEN)
    assert await projector.read_ring(BEN) == []
    projector.fanout.close()
    projector.fanout = RingFanout(projector.folder, slots=256, ring_length=16)
    await projector.fanout.start(projector.store, "here")
    assert await projector.read_ring(BEN) is None
    await projector.request_rings(BEN)
    await projector.post(ANN, *range(10, 22))
    assert await projector.read_ring(BEN) == list(range(10, 22))


def test_a_second_writer_is_refused(projector: RingProjector) -> None:
    with pytest.raises(RingsInUse):
        RingFanout(projector.folder)


def test_readers_without_a_file_have_no_rings(tmp_path: Path) -> None:
    rings = RingReader(tmp_path / "absent")
    rings.request_ring(BEN)
    assert (rings.ring_version(BEN), rings.read_ring(BEN)) == (None, None)
    viewer = ViewerContext(BEN, high_fanout_authors=frozenset({ANN}))
    assert (rings.version(viewer), rings.read(viewer)) == (None, None)


async def test_rings_take_disk_only_where_they_are_written(tmp_path: Path) -> None:
    store = MemoryReadStore(TIMELINE.tables)
    fanout = RingFanout(tmp_path, slots=65_536, ring_length=800)
    await fanout.start(store, "here")
    RingReader(tmp_path).request_ring(BEN)
    await fanout.run_maintenance(store)
    status = (tmp_path / "rings").stat()
    assert status.st_size > 500_000_000
    assert status.st_blocks * 512 < 10_000_000
    fanout.close()
