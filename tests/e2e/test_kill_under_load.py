"""`kill -9` at random moments under load: what was acknowledged stays, once; views catch up."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from events.envelope import RecordedEvent
from events.schema import PostCreated
from infra.log_of_record import open_log, open_text_reader
from infra.settings import Settings
from projections.home.home_timeline import HomeTimeline
from projections.pages import PageRequest
from projections.store import ReadStore
from tests.support.acknowledged_writes import (
    all_events,
    check_handles,
    check_posts,
    check_relations,
)
from tests.support.event_store import event_store_is_installed
from tests.support.fresh_projection import (
    all_rows,
    fresh_views,
    open_live_views,
    wait_until_caught_up,
)
from tests.support.load_under_kill import HttpLoad, RestartedImporter
from tests.support.no_rings import NoRings
from tests.support.server_processes import ServerProcesses, running_processes
from tests.support.soak import amount
from tests.support.starling_program import starling_environment

if TYPE_CHECKING:
    from tests.standins.event_store_node import EventStoreProcess

ROUNDS = {"sqlite": amount(4, 60), "eventstoredb": amount(3, 60)}
"""Kills, over all victims."""
ANSWERS_BETWEEN = 50
"""Answers that people get between two kills, at least: otherwise nothing would be under way."""


@pytest.fixture(params=["sqlite", "eventstoredb"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator["EventStoreProcess | None"]:
    """The node that holds the log of record; None for a log in SQLite."""
    if request.param == "sqlite":
        yield None
        return
    if not event_store_is_installed():
        pytest.skip("the package eventstoredb needs Python below 3.13")
    from tests.standins.event_store_node import EventStoreProcess

    with EventStoreProcess(tmp_path / "node.log") as started:
        yield started


async def kills(
    running: ServerProcesses,
    load: HttpLoad,
    importer: RestartedImporter,
    node: "EventStoreProcess | None",
    seed: int,
) -> Counter[str]:
    """Kill a process again and again and start it again at once; which one, how often."""
    rng = random.Random(seed)
    candidates = ["api", "api", "projector", "import", *(["node"] if node is not None else [])]
    apis = [await running.start_api(), await running.start_api()]
    projector = await running.start_projector()
    victims: Counter[str] = Counter()
    rounds = ROUNDS["sqlite" if node is None else "eventstoredb"]
    # Each at least once.
    order = rng.sample(candidates, len(candidates))
    order += rng.choices(candidates, k=rounds - len(order))
    for victim in order:
        await load.wait_for_responses(ANSWERS_BETWEEN)
        await asyncio.sleep(rng.uniform(0, 0.2))
        victims[victim] += 1
        if victim == "api":
            await running.kill(apis.pop(0))
            apis.append(await running.start_api())
        elif victim == "projector":
            await running.kill(projector)
            projector = await running.start_projector()
        elif victim == "node" and node is not None:
            node.kill()
            await asyncio.to_thread(node.start)
        else:
            await importer.kill_current()
    return victims


def check_import(events: list[RecordedEvent], importer: RestartedImporter) -> None:
    """Every line that an import was answered is in the log once."""
    texts = Counter(each.event.text for each in events if isinstance(each.event, PostCreated))
    assert importer.acknowledged_texts
    assert [text for text in importer.acknowledged_texts if texts[text] != 1] == []


async def check_homes(load: HttpLoad, timeline: ReadStore) -> None:
    """Every user's home timeline is what the tables of a fresh projection give."""
    home = HomeTimeline(lambda: timeline, NoRings(), lambda: 0)
    for person in load.people:
        shown = await person.request("GET", "/v1/timelines/home?limit=40")
        entries = await home.load_page(person.id, PageRequest(40))
        assert [int(post["id"]) for post in shown.body] == [entry.post for entry in entries]
        assert entries


async def check_newcomers(load: HttpLoad) -> None:
    """Who was told to have joined can sign in, as the same user."""
    assert load.newcomers
    for answer, person in zip(
        await asyncio.gather(*(person.sign_in() for person in load.newcomers)),
        load.newcomers,
        strict=True,
    ):
        assert (answer.status, int(answer.body["id"])) == (201, person.id)


@pytest.mark.timeout(amount(400, 1200))
async def test_what_was_acknowledged_survives_kill_9_once_and_the_views_catch_up(
    tmp_path: Path, node: "EventStoreProcess | None"
) -> None:
    log_of_record = "sqlite" if node is None else node.address
    settings = Settings(data=tmp_path / "data", log=log_of_record)
    patience = aiohttp.ClientTimeout(total=10)
    async with (
        running_processes(settings.data) as running,
        aiohttp.ClientSession(timeout=patience) as session,
    ):
        running.use_environment(
            starling_environment(STARLING_DATA=str(settings.data), STARLING_LOG=log_of_record)
        )
        load, importer = HttpLoad(session, running), RestartedImporter(running, tmp_path)
        first = await running.start_api()
        assert {(await person.register()).status for person in load.people} == {201}
        await running.kill(first)
        async with load.running():
            importing = asyncio.create_task(importer.run(load.stop))
            try:
                victims = await kills(running, load, importer, node, seed=5)
            except BaseException:
                importing.cancel()
                raise
        await importing
        assert set(victims) == {"api", "projector", "import"} | ({"node"} if node else set())
        with open_log(settings) as log, open_text_reader(settings, log) as open_text:
            events = all_events(log, open_text)
            check_posts(events, load.people)
            check_relations(events, load.people)
            check_handles(events, [*load.people, *load.newcomers])
            check_import(events, importer)
            await wait_until_caught_up(settings, log)
            async with (
                fresh_views(log, tmp_path) as fresh,
                open_live_views(settings.views_folder) as live,
            ):
                assert await all_rows(live) == await all_rows(fresh)
                await check_homes(load, fresh["timeline"])
        await check_newcomers(load)
