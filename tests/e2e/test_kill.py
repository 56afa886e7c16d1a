"""`kill -9` at random moments under load: what was acknowledged stays, once; views catch up."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from events.recorded import Recorded
from events.schema import PostCreated
from infra.command_side import open_log
from infra.settings import Settings
from infra.views.no_rings import NoRings
from projections.home import Home
from projections.pages import Page
from projections.store import ReadStore
from tests.e2e.siege import Importer, Load
from tests.fresh import all_rows, caught_up, fresh_views, live_views
from tests.processes import Processes, processes
from tests.promises import check_handles, check_posts, check_relations, everything

ROUNDS = 50
"""Kills, over all victims."""
ANSWERS_BETWEEN = 50
"""Answers that people get between two kills, at least: otherwise nothing would be under way."""


async def kills(running: Processes, load: Load, importer: Importer, seed: int) -> Counter[str]:
    """Kill somebody again and again, and start them again at once; who was, how often."""
    rng = random.Random(seed)
    apis = [await running.api(), await running.api()]
    projector = await running.projector()
    victims: Counter[str] = Counter()
    for _ in range(ROUNDS):
        await load.more_answers(ANSWERS_BETWEEN)
        await asyncio.sleep(rng.uniform(0, 0.2))
        victim = rng.choice(("api", "api", "projector", "import"))
        victims[victim] += 1
        if victim == "api":
            await running.kill(apis.pop(0))
            apis.append(await running.api())
        elif victim == "projector":
            await running.kill(projector)
            projector = await running.projector()
        else:
            await importer.kill()
    return victims


def check_import(events: list[Recorded], importer: Importer) -> None:
    """Every line that an import was answered is in the log once."""
    texts = Counter(each.event.text for each in events if isinstance(each.event, PostCreated))
    assert importer.texts
    assert [text for text in importer.texts if texts[text] != 1] == []


async def check_homes(load: Load, timeline: ReadStore) -> None:
    """Everybody's home timeline is what the tables of a fresh projection give."""
    home = Home(lambda: timeline, NoRings())
    for person in load.people:
        shown = await person.ask("GET", "/v1/timelines/home?limit=40")
        entries = await home.read(person.id, Page(40))
        assert [int(post["id"]) for post in shown.body] == [entry.post for entry in entries]
        assert entries


async def check_newcomers(load: Load) -> None:
    """Who was told to have joined can sign in, as the same user."""
    assert load.newcomers
    for answer, person in zip(
        await asyncio.gather(*(person.sign_in() for person in load.newcomers)),
        load.newcomers,
        strict=True,
    ):
        assert (answer.status, int(answer.body["id"])) == (201, person.id)


@pytest.mark.timeout(400)
async def test_what_was_acknowledged_survives_kill_9_once_and_the_views_catch_up(
    tmp_path: Path,
) -> None:
    settings = Settings(data=tmp_path / "data")
    patience = aiohttp.ClientTimeout(total=10)
    async with (
        processes(settings.data) as running,
        aiohttp.ClientSession(timeout=patience) as session,
    ):
        load, importer = Load(session, running), Importer(running, tmp_path)
        first = await running.api()
        assert {(await person.join()).status for person in load.people} == {201}
        await running.kill(first)
        async with load.under_way():
            importing = asyncio.create_task(importer.run(load.stop))
            try:
                victims = await kills(running, load, importer, seed=5)
            except BaseException:
                importing.cancel()
                raise
        await importing
        assert set(victims) == {"api", "projector", "import"}
        with open_log(settings) as log:
            events = everything(log)
            check_posts(events, load.people)
            check_relations(events, load.people)
            check_handles(events, [*load.people, *load.newcomers])
            check_import(events, importer)
            await caught_up(settings, log)
            async with (
                fresh_views(log, tmp_path) as fresh,
                live_views(settings.views_folder) as live,
            ):
                assert await all_rows(live) == await all_rows(fresh)
                await check_homes(load, fresh["timeline"])
        await check_newcomers(load)
