"""Clicks of several machines, counted in one place: each once, whatever comes again."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

import pytest

from api.clicks.click_log import Click, ClickKind, ClicksUnavailable, PostReads
from api.clicks.click_publisher import ClickChunk, ClickPublisher
from infra.mongodb.click_figures import MongoClickFigures
from infra.mongodb.connection import WRITE_SECONDS, open_blocking_database
from infra.process.clock import clock_ms
from infra.sqlite.click_log import SqliteClickLog
from infra.sqlite.click_questions import QUARTER_MS
from projections.distinct_count import Estimate
from tests.support.engines.mongodb_views import fresh_address

ADA = 7_000
NOW = clock_ms() // QUARTER_MS * QUARTER_MS
QUARTER = NOW // QUARTER_MS
DAYS = [range(QUARTER - 100, QUARTER), range(QUARTER, QUARTER + 1)]


def view(post: int | None, session: int = 1, user: int | None = None) -> Click:
    page = None if post else "/about"
    return Click(NOW, NOW, session, user, post, page, "view", None, None)


class ChunksInList:
    """A feed that remembers its chunks, and fails when told to."""

    def __init__(self) -> None:
        self.chunks: list[ClickChunk] = []
        self.fails = False

    async def publish(self, chunk: ClickChunk) -> None:
        self.chunks.append(chunk)
        if self.fails:
            raise ClicksUnavailable("no answer")


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[SqliteClickLog]]:
    with ExitStack() as opened:
        folders = [tmp_path / name for name in ("one", "two")]
        for folder in folders:
            folder.mkdir()
        yield [
            opened.enter_context(closing(SqliteClickLog(folder / "clicks.sqlite")))
            for folder in folders
        ]


async def test_a_log_is_published_in_order_without_names_and_pages(
    machines: list[SqliteClickLog],
) -> None:
    log, feed = machines[0], ChunksInList()
    publisher = ClickPublisher(log, feed, b"k")
    await publisher.catch_up()
    assert feed.chunks == []
    await log.append_clicks([view(5), view(None), view(6, user=ADA)])
    feed.fails = True
    with pytest.raises(ClicksUnavailable):
        await publisher.catch_up()
    feed.fails = False
    await log.append_clicks([view(7)])
    await publisher.catch_up()
    failed, sent = feed.chunks
    assert (failed.after, failed.through, sent.after, sent.through) == (0, 3, 0, 4)
    assert [click.post for click in sent.clicks] == [5, 6, 7]
    session, hashed, _ = (click.viewer for click in sent.clicks)
    assert session == 1
    assert hashed not in (ADA, 1)
    await publisher.catch_up()
    assert len(feed.chunks) == 2
    await ClickPublisher(machines[1], feed, b"k").catch_up()
    assert len(feed.chunks) == 2


async def test_one_process_of_a_machine_publishes_and_another_goes_on_when_it_ends(
    machines: list[SqliteClickLog],
) -> None:
    log = machines[0]
    await log.append_clicks([view(5)])
    assert await log.unpublished_clicks(9)
    path = log._path
    assert isinstance(path, Path)
    with closing(SqliteClickLog(path)) as other:
        assert await other.unpublished_clicks(9) is None
        log.close()
        found = await other.unpublished_clicks(9)
    assert found is not None
    assert (found.after, found.through) == (0, 1)


@pytest.mark.engines
async def test_figures_are_those_of_all_machines_and_chunks_that_come_again_count_once(
    machines: list[SqliteClickLog], request: pytest.FixtureRequest
) -> None:
    rng, feed = Random(4), ChunksInList()
    kinds: list[tuple[ClickKind, int | None]] = [("view", None), ("click", None), ("dwell", 300)]
    clicks = [
        view(rng.randrange(1, 6), rng.randrange(20), rng.choice((None, ADA)))._replace(
            at_ms=NOW - rng.randrange(2) * 50 * QUARTER_MS, kind=kind, dwell_ms=dwell
        )
        for kind, dwell in kinds * 100
    ]
    whole = SqliteClickLog(":memory:")
    await whole.append_clicks(clicks)
    for number, log in enumerate(machines):
        for start in (0, 100, 200):
            await log.append_clicks(clicks[start + number : start + 100 : 2])
            await ClickPublisher(log, feed, b"k").catch_up()
    assert len(feed.chunks) == 6
    overlapping = ClickChunk(
        feed.chunks[0].source, 0, 150, [one for chunk in feed.chunks[:3] for one in chunk.clicks]
    )
    address = fresh_address(request.getfixturevalue("mongodb"))
    with (
        open_blocking_database(address, WRITE_SECONDS) as database,
        closing(MongoClickFigures(database, days=90)) as figures,
    ):
        assert await figures.viewers_of_post(1) == Estimate(0)
        assert await figures.reads_of_post(1, DAYS) == [PostReads(1), PostReads(1)]
        for chunk in (*feed.chunks[:2], overlapping, *feed.chunks, *feed.chunks[:3]):
            await figures.publish(chunk)
        for post in range(1, 6):
            assert await figures.reads_of_post(post, DAYS) == await whole.reads_of_post(post, DAYS)
            assert await figures.viewers_of_post(post) == await whole.viewers_of_post(post)
        together = range(QUARTER - 100, QUARTER + 1)
        top = await whole.most_read_posts(together, 3)
        assert await figures.most_read_posts(together, 3) == top
        assert len(top) == 3
        expiring = database.get_collection("click_posts").index_information().values()
        assert [one["key"] for one in expiring if "expireAfterSeconds" in one] == [[("expires", 1)]]
        database.client.drop_database(database.name)
    whole.close()
