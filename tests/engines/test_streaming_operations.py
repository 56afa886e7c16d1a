"""Rebuilds, pauses and dead letters where the views are in MongoDB: the same commands, on a relay
and a Faust worker that go on meanwhile."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from api.auth import OPERATOR, Tokens
from events.schema import PostCreated, PostEdited
from infra.command_side import clock_ms, signing_secret
from infra.engines.kafka import KafkaBroker
from infra.engines.mongodb import MongoServer
from projections.post_rows import POSTS
from tests.engines.mongo_views import fresh
from tests.engines.operating import World, child_of, operated
from tests.engines.worlds import FIRST
from tests.fresh import all_rows
from tests.processes import processes

pytestmark = [pytest.mark.engines, pytest.mark.timeout(200)]


@pytest.fixture(scope="module")
def world(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("operations")
    with operated(folder, kafka.address, fresh(mongodb)) as made:
        yield made


async def test_views_are_rebuilt_while_the_worker_projects_and_events_arrive(world: World) -> None:
    names = ("posts", "timeline")
    before = [await world.view(name) for name in names]
    rebuild = asyncio.create_task(world.do("projections", "rebuild", *names))
    for _ in range(60):
        if not rebuild.done():
            await world.happen(10)
            await asyncio.wait({rebuild}, timeout=0.2)
    assert await rebuild == (
        0, "", "posts: posts shows the rebuilt view\ntimeline: timeline shows the rebuilt view"
    )  # fmt: skip
    await world.happen(50)
    await world.settled()
    after = [await world.view(name) for name in names]
    assert all(new.startswith(f"{name}_1_g") for name, new in zip(names, after, strict=True))
    assert set(before).isdisjoint(after)


async def test_a_rebuild_that_was_killed_is_gone_on_with(world: World) -> None:
    names = {name.partition(".")[2] for name in await world.collections()}
    process = world.start("projections", "rebuild", "followers", **world.slow)
    begun = await world.loading("followers")
    os.kill(child_of(process), signal.SIGKILL)
    _, err = await asyncio.to_thread(process.communicate)
    assert process.returncode == 1
    assert b"ended with status -9; ask again to go on with it" in err
    async with world.database() as database:
        there = await database[f"{begun}.position"].count_documents({"position": {"$gt": 0}})
        assert there > 0
    assert (await world.do("projections", "rebuild", "followers"))[0] == 0
    assert await world.view("followers") == begun
    await world.happen(20)
    await world.settled()
    assert {name.partition(".")[2] for name in await world.collections()} == names


async def test_a_rebuild_that_is_taken_back_leaves_no_trace(world: World) -> None:
    before, groups = await world.collections(), world.groups()
    process = world.start("projections", "rebuild", "profiles", **world.slow)
    await world.loading("profiles")
    said = await world.do("projections", "rebuild", "profiles", "--cancel")
    assert said == (0, "", "profiles: cancelled")
    _, err = await asyncio.to_thread(process.communicate)
    assert (process.returncode, err.decode().strip()) == (1, "profiles: cancelled")

    process = world.start("projections", "rebuild", "profiles", **world.slow)
    await world.loading("profiles")
    process.send_signal(signal.SIGINT)
    await asyncio.to_thread(process.communicate)
    assert process.returncode == 1
    assert await world.collections() == before
    assert world.groups() == groups
    status = await world.ask("projections", "status", "profiles")
    assert status[0]["rebuild"] == ""


async def test_a_rebuilt_view_that_differs_from_the_live_one_is_not_switched_to(
    world: World,
) -> None:
    view = await world.view("profiles")
    async with world.database() as database:
        rows = database[f"{view}.profiles"]
        changed = await rows.update_one({}, {"$set": {"name": "Mallory"}})
        assert changed.modified_count == 1
    status, out, err = await world.do("projections", "rebuild", "profiles", "--verify")
    assert status == 1, err
    assert "the live view differs from the rebuilt one" in err
    assert out.startswith("profiles: live ")
    assert "Mallory" in out
    assert await world.view("profiles") == view
    assert (await world.do("projections", "rebuild", "profiles"))[0] == 0
    await world.settled()
    status, out, err = await world.do("projections", "rebuild", "profiles", "--verify")
    assert (status, out) == (0, ""), err


async def test_a_paused_view_stays_as_it_is_and_is_brought_up_when_it_goes_on(
    world: World,
) -> None:
    assert await world.do("projections", "pause", "posts") == (0, "", "posts is paused")
    async with world.stack.views() as live:
        before = await all_rows({**live, "posts": live["posts"]})
        head = await world.happen()
        await world.stack.until_projected(head, but="posts")
        [posts, timeline] = await world.ask("projections", "status", "posts", "timeline")
        assert (posts["state"], timeline["state"]) == ("paused", "current")
        assert posts["lag"] > 0
        assert max(posts["partitions"]) == posts["lag"]
        assert timeline["partitions"] == [0] * world.stack.topic.partitions
        after = await all_rows(live)
    mine = {name for name in before if name.startswith("posts.")}
    assert {name: after[name] for name in mine} == {name: before[name] for name in mine}
    assert await world.do("projections", "resume", "posts") == (0, "", "posts goes on")
    await world.settled()


async def test_an_event_that_can_not_be_taken_is_parked_stops_a_rebuild_and_is_taken_later(
    world: World,
) -> None:
    view, post = await world.view("posts"), FIRST + (1 << 49)
    position = await world.say(PostCreated(post, 7, "poison"), 0)
    head = await world.say(PostEdited(post, 7, "mended"), 1)
    await world.stack.until_projected(head)
    letters = await world.ask("dlq", "list")
    assert [(one["projection"], one["position"]) for one in letters] == [
        ("posts", str(position)), ("posts", str(head)),
    ]  # fmt: skip
    assert letters[0]["error"] == "ValueError: cannot take this"
    _, out, _ = await world.do("dlq", "inspect", "posts", str(position))
    assert any("in squeamish" in line for line in json.loads(out)["traceback"])

    status, _, err = await world.do("projections", "rebuild", "posts", **world.stack.patched)
    assert status == 1
    assert f"posts cannot take the event at position {position} (post-created" in err
    assert await world.view("posts") == view

    said = await world.do("dlq", "replay", "posts", **world.stack.patched)
    assert (said[0], said[2]) == (1, "starling: posts took 0 events; 2 stay parked")
    assert (await world.do("dlq", "replay", "posts"))[2] == "posts took 2 events; 0 stay parked"
    await world.say(PostEdited(post, 7, "once more"), 2)
    await world.settled()
    assert await world.ask("dlq", "list") == []


async def test_operators_do_the_same_over_http(world: World) -> None:
    view, path = await world.view("trending"), "/v1/projections/trending"
    token = Tokens(signing_secret(world.settings), clock_ms).issue(7, [OPERATOR])
    async with processes(world.settings.data) as running:
        running.use(world.stack.environment())
        await running.api()
        async with httpx.AsyncClient(
            base_url=running.url(), headers={"Authorization": f"Bearer {token}"},
            trust_env=False, timeout=60,
        ) as client:  # fmt: skip
            answer = await client.post(f"{path}/rebuild?verify=true")
            assert answer.status_code == 200, answer.text
            told = answer.text
            events = [event.split("\n") for event in told.split("\n\n")[:-1]]
            assert [events[0][0], events[-1][0]] == ["event: progress", "event: done"]
            rebuilt = json.loads(events[-1][1].removeprefix("data: "))["view"]
            assert await world.view("trending") == rebuilt != view
            assert (await client.get(f"{path}/rebuild")).status_code == 404
            assert (await client.delete(f"{path}/rebuild")).status_code == 404
            assert (await client.post(f"{path}/pause")).json()["state"] == "paused"
            assert (await client.post(f"{path}/resume")).json()["state"] == "current"
            metrics = (await client.get("/metrics")).text
            assert 'starling_partition_lag{partition="2",projection="posts"} 0.0' in metrics
            assert (await client.get("/v1/trends")).status_code == 200


async def test_a_raised_version_is_rebuilt_beside_the_work_while_the_older_view_serves(
    world: World,
) -> None:
    before = await world.view("posts")
    world.stack.patched = world.raised
    with world.stack.worker():
        build = await world.loading("posts")
        assert await world.view("posts") == before
        await world.happen(50)
        while await world.view("posts") == before:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert await world.view("posts") == build
        assert build.startswith("posts_2_g")
        await world.happen(50)
        await world.settled()


async def test_an_event_that_is_skipped_is_left_out_now_and_in_rebuilds(world: World) -> None:
    post = FIRST + (3 << 49)
    position = await world.say(PostCreated(post, 7, "poison"), 0)
    await world.stack.until_projected(position)
    said = await world.do("projections", "skip", "posts", str(position))
    assert said == (0, "", "posts leaves out 1 events")
    assert await world.ask("dlq", "list") == []
    assert (await world.do("projections", "rebuild", "posts"))[0] == 0
    async with world.stack.views() as live:
        assert await live["posts"].scan(POSTS, (post,)) == []
    past = ("projections", "show", "posts", "--table", "posts", "--json")
    status, out, _ = await world.do(*past, "--at", str(position))
    assert (status, str(post) in out) == (0, False)
    assert len(out.splitlines()) > 50
