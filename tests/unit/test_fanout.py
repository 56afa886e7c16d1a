"""Rings as the projector writes them: what they hold, when they are kept, when they are dropped."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.views.fanout import Fanout, RingsTaken
from infra.views.memory import MemoryStore
from infra.views.ring_file import BOOT, WAYS, layout, map_file
from infra.views.rings import Rings
from projections.edges import Edge
from projections.store import Changes
from projections.timeline import BIG, EDGES, POSTED, RETWEETS, Big, Posted, Retweet, Timeline

ANN, BEN, CAT, DAN = 1, 2, 3, 4
TIMELINE = Timeline()


class Projector:
    """A store and the rings that follow it."""

    def __init__(self, folder: Path, keep: int = 8) -> None:
        self.folder = folder
        self.store = MemoryStore(TIMELINE.tables)
        self.fanout = Fanout(folder, slots=128, keep=keep)
        self.rings = Rings(folder)
        self.position = 0

    async def apply(self, changes: Changes, listen: bool = True) -> None:
        await self.store.apply(changes, self.position, self.position + 1)
        self.position += 1
        if listen:
            self.fanout.listen(changes, self.position)

    async def follow(self, *pairs: tuple[int, int]) -> None:
        edges = {(followee, follower): Edge(followee, follower, 1) for followee, follower in pairs}
        await self.apply(Changes(puts={EDGES.alive: dict(edges)}))

    async def post(self, author: int, *ids: int) -> None:
        await self.apply(Changes(puts={POSTED: {(id,): Posted(id, author) for id in ids}}))

    async def ring(self, key: int) -> list[int] | None:
        ring = self.rings.read(key)
        return None if ring is None else list(ring.entries)

    async def make(self, *keys: int) -> None:
        for key in keys:
            self.rings.want(key)
            await self.fanout.tend(self.store)


@pytest.fixture
async def projector(tmp_path: Path) -> AsyncIterator[Projector]:
    projector = Projector(tmp_path)
    await projector.fanout.start(projector.store, "here")
    await projector.follow((ANN, BEN), (ANN, CAT))
    yield projector
    projector.fanout.close()


async def test_a_ring_is_made_when_asked_for_and_holds_the_newest(projector: Projector) -> None:
    await projector.post(ANN, *range(1, 11))
    assert await projector.ring(BEN) is None
    await projector.make(BEN)
    assert await projector.ring(BEN) == [3, 4, 5, 6, 7, 8, 9, 10]


async def test_posts_and_retweets_reach_every_active_follower_and_the_author(
    projector: Projector,
) -> None:
    await projector.make(ANN, BEN, CAT, DAN)
    await projector.post(ANN, 10)
    await projector.apply(Changes(puts={RETWEETS: {(11,): Retweet(11, ANN, 5)}}))
    for reader in (ANN, BEN, CAT):
        assert await projector.ring(reader) == [10, -11]
    assert await projector.ring(DAN) == []


async def test_a_full_ring_lets_go_of_its_oldest_entries(projector: Projector) -> None:
    await projector.make(BEN)
    for id in range(1, 40):
        await projector.post(ANN, id)
    ring = projector.rings.read(BEN)
    assert ring is not None
    assert list(ring.entries) == list(range(32, 40))
    assert not ring.whole


async def test_late_entries_find_their_place_once(projector: Projector) -> None:
    await projector.make(BEN)
    await projector.post(ANN, 10, 20, 30)
    await projector.post(ANN, 15)
    await projector.post(ANN, 15, 20)
    assert await projector.ring(BEN) == [10, 15, 20, 30]
    await projector.post(ANN, *range(40, 45))
    await projector.post(ANN, 5)
    assert await projector.ring(BEN) == [15, 20, 30, 40, 41, 42, 43, 44]


async def test_a_new_followee_hides_the_ring_until_its_entries_are_merged_in(
    projector: Projector,
) -> None:
    await projector.post(DAN, 1, 12)
    await projector.make(BEN)
    await projector.post(ANN, 10)
    await projector.follow((DAN, BEN))
    await projector.post(DAN, 11)
    assert await projector.ring(BEN) is None
    await projector.fanout.tend(projector.store)
    assert await projector.ring(BEN) == [1, 10, 11, 12]


async def test_an_unfollow_ends_deliveries(projector: Projector) -> None:
    await projector.make(BEN, CAT)
    await projector.apply(Changes(deletes={EDGES.alive: {(ANN, BEN)}}))
    await projector.post(ANN, 10)
    assert await projector.ring(BEN) == []
    assert await projector.ring(CAT) == [10]


async def test_a_big_author_writes_one_outbox_and_no_ring(projector: Projector) -> None:
    await projector.make(ANN, BEN)
    await projector.post(ANN, 10)
    await projector.apply(Changes(puts={BIG: {(ANN,): Big(ANN)}}))
    await projector.make(-ANN, CAT, -BEN)
    seen = projector.rings.broadcasts
    await projector.post(ANN, 11)
    assert await projector.ring(-ANN) == [10, 11]
    assert projector.rings.broadcasts > seen
    assert [await projector.ring(reader) for reader in (ANN, BEN, CAT, -BEN)] == [
        [10],
        [10],
        [],
        None,
    ]


async def test_rings_that_nobody_reads_make_room(projector: Projector) -> None:
    first = layout(128, 8).first(BEN)
    same = [key for key in range(1000, 9000) if layout(128, 8).first(key) == first][:WAYS]
    await projector.make(BEN, *same[:-1])
    assert await projector.ring(BEN) == []
    for key in same[:-1]:
        assert await projector.ring(key) == []
    await projector.make(same[-1])  # everybody was read: the hand goes round once
    lost = [key for key in (BEN, *same[:-1]) if await projector.ring(key) is None]
    assert len(lost) == 1
    await projector.make(*lost)
    assert [await projector.ring(key) for key in lost] == [[]]
    await projector.post(ANN, 10)
    for key in same:
        assert await projector.ring(key) in (None, [])


async def restarted(projector: Projector, source: str = "here") -> list[int] | None:
    projector.fanout.close()
    projector.fanout = Fanout(projector.folder, slots=128, keep=8)
    await projector.fanout.start(projector.store, source)
    return await projector.ring(BEN)


async def test_a_restart_keeps_the_rings_and_goes_on_delivering(projector: Projector) -> None:
    await projector.make(BEN)
    await projector.post(ANN, 10)
    assert await restarted(projector) == [10]
    await projector.post(ANN, 11)
    await projector.post(ANN, 9)
    assert await projector.ring(BEN) == [9, 10, 11]


async def test_a_batch_applied_but_not_delivered_drops_the_rings(projector: Projector) -> None:
    await projector.make(BEN)
    await projector.apply(Changes(puts={POSTED: {(10,): Posted(10, ANN)}}), listen=False)
    assert await restarted(projector) is None


async def test_another_store_drops_the_rings(projector: Projector) -> None:
    await projector.make(BEN)
    assert await restarted(projector, "there") is None


async def test_another_boot_of_the_machine_drops_the_rings(projector: Projector) -> None:
    await projector.make(BEN)
    found = map_file(projector.folder / "rings")
    assert found is not None
    memoryview(found[1]).cast("q")[BOOT] += 1
    assert await restarted(projector) is None


async def test_a_ring_whose_followee_was_never_merged_in_is_dropped(projector: Projector) -> None:
    await projector.make(BEN, CAT)
    await projector.follow((DAN, BEN))
    assert await restarted(projector) is None
    assert await projector.ring(CAT) == []


async def test_a_file_of_other_measures_is_replaced_and_readers_notice(
    projector: Projector,
) -> None:
    await projector.make(BEN)
    assert await projector.ring(BEN) == []
    projector.fanout.close()
    projector.fanout = Fanout(projector.folder, slots=256, keep=16)
    await projector.fanout.start(projector.store, "here")
    assert await projector.ring(BEN) is None
    await projector.make(BEN)
    await projector.post(ANN, *range(10, 22))
    assert await projector.ring(BEN) == list(range(10, 22))


def test_a_second_writer_is_refused(projector: Projector) -> None:
    with pytest.raises(RingsTaken):
        Fanout(projector.folder)


def test_readers_without_a_file_have_no_rings(tmp_path: Path) -> None:
    rings = Rings(tmp_path / "absent")
    rings.want(BEN)
    assert (rings.stamp(BEN), rings.read(BEN), rings.broadcasts) == (None, None, 0)


async def test_rings_take_disk_only_where_they_are_written(tmp_path: Path) -> None:
    store = MemoryStore(TIMELINE.tables)
    fanout = Fanout(tmp_path, slots=65_536, keep=800)
    await fanout.start(store, "here")
    Rings(tmp_path).want(BEN)
    await fanout.tend(store)
    status = (tmp_path / "rings").stat()
    assert status.st_size > 500_000_000
    assert status.st_blocks * 512 < 10_000_000
    fanout.close()
