"""Rebuilds, pauses and dead letters where the views are in MongoDB: the same commands, on a relay
and a Faust worker that go on meanwhile."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from api.accounts.access_tokens import OPERATOR_SCOPE
from events.schema import PostCreated, PostEdited
from infra.dev.kafka_broker import KafkaBroker
from infra.dev.mongodb_server import MongoServer
from infra.mongodb.view_registry import view_name
from infra.process.clock import clock_ms
from infra.wiring.signing_secret import signing_secret
from projections.posts import POSTS
from projections.registry import projection_named
from tests.support.engines.mongodb_views import fresh_address
from tests.support.engines.streaming_world import (
    StreamingWorld,
    only_child_pid,
    running_streaming_world,
)
from tests.support.fresh_projection import all_rows
from tests.support.made_up_events import FIRST_ID
from tests.support.server_processes import running_processes
from tests.support.signed_tokens import SignedTokenIssuer

pytestmark = [pytest.mark.engines, pytest.mark.timeout(200)]


@pytest.fixture(scope="module")
def world(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StreamingWorld]:
    folder = tmp_path_factory.mktemp("operations")
    with running_streaming_world(folder, kafka.address, fresh_address(mongodb)) as made:
        yield made


async def test_views_are_rebuilt_while_the_worker_projects_and_events_arrive(
    world: StreamingWorld,
) -> None:
    names = ("posts", "timeline")
    before = [await world.current_view(name) for name in names]
    rebuild = asyncio.create_task(world.run_program("projections", "rebuild", *names))
    for _ in range(60):
        if not rebuild.done():
            await world.append_next_events(10)
            await asyncio.wait({rebuild}, timeout=0.2)
    assert await rebuild == (
        0, "", "posts shows the rebuilt view\ntimeline shows the rebuilt view"
    )  # fmt: skip
    await world.append_next_events(50)
    await world.wait_and_compare_rows()
    after = [await world.current_view(name) for name in names]
    current = [view_name(projection_named(name)) for name in names]
    assert all(new.startswith(f"{view}_g") for view, new in zip(current, after, strict=True))
    assert set(before).isdisjoint(after)


async def test_a_killed_rebuild_is_resumed(world: StreamingWorld) -> None:
    names = {name.partition(".")[2] for name in await world.view_collections()}
    process = world.start_program("projections", "rebuild", "followers", **world.slow_rebuild_env)
    begun = await world.wait_for_rebuild_rows("followers")
    os.kill(only_child_pid(process), signal.SIGKILL)
    _, err = await asyncio.to_thread(process.communicate)
    assert process.returncode == 1
    assert b"ended with status -9; ask again to go on with it" in err
    async with world.open_database() as database:
        there = await database[f"{begun}.position"].count_documents({"position": {"$gt": 0}})
        assert there > 0
    assert (await world.run_program("projections", "rebuild", "followers"))[0] == 0
    assert await world.current_view("followers") == begun
    await world.append_next_events(20)
    await world.wait_and_compare_rows()
    assert {name.partition(".")[2] for name in await world.view_collections()} == names


async def test_a_cancelled_rebuild_leaves_no_trace(world: StreamingWorld) -> None:
    before, groups = await world.view_collections(), world.rebuild_groups()
    process = world.start_program("projections", "rebuild", "profiles", **world.slow_rebuild_env)
    await world.wait_for_rebuild_rows("profiles")
    said = await world.run_program("projections", "rebuild", "profiles", "--cancel")
    assert said == (0, "", "profiles: cancelled")
    _, err = await asyncio.to_thread(process.communicate)
    assert (process.returncode, err.decode().strip()) == (1, "profiles: cancelled")

    process = world.start_program("projections", "rebuild", "profiles", **world.slow_rebuild_env)
    await world.wait_for_rebuild_rows("profiles")
    process.send_signal(signal.SIGINT)
    await asyncio.to_thread(process.communicate)
    assert process.returncode == 1
    assert await world.view_collections() == before
    assert world.rebuild_groups() == groups
    status = await world.run_for_json("projections", "status", "profiles")
    assert status[0]["rebuild"] == ""


async def test_a_rebuilt_view_that_differs_from_the_live_one_is_not_switched_to(
    world: StreamingWorld,
) -> None:
    view = await world.current_view("profiles")
    async with world.open_database() as database:
        rows = database[f"{view}.profiles"]
        changed = await rows.update_one({}, {"$set": {"name": "Mallory"}})
        assert changed.modified_count == 1
    status, out, err = await world.run_program("projections", "rebuild", "profiles", "--verify")
    assert status == 1, err
    assert "the live view differs from the rebuilt one" in err
    assert out.startswith("profiles: live ")
    assert "Mallory" in out
    assert await world.current_view("profiles") == view
    assert (await world.run_program("projections", "rebuild", "profiles"))[0] == 0
    await world.wait_and_compare_rows()
    status, out, err = await world.run_program("projections", "rebuild", "profiles", "--verify")
    assert (status, out) == (0, ""), err


async def test_a_view_that_other_code_of_the_same_version_built_is_found_until_it_is_rebuilt(
    world: StreamingWorld,
) -> None:
    view = await world.current_view("trending")
    async with world.open_database() as database:
        change = {"$set": {f"fingerprints.{view}": "0" * 16}}
        await database["current"].update_one({"_id": "views"}, change)
    status, out, _ = await world.run_program("projections", "check", "--json")
    states = {one["name"]: one["state"] for one in json.loads(out)}
    assert (status, states["trending"], states["posts"]) == (1, "changed", "same")
    assert (await world.run_program("projections", "rebuild", "trending"))[0] == 0
    assert (await world.run_program("projections", "check"))[0] == 0


async def test_a_paused_view_stays_as_it_is_and_catches_up_when_it_is_resumed(
    world: StreamingWorld,
) -> None:
    assert await world.run_program("projections", "pause", "posts") == (0, "", "posts is paused")
    async with world.stack.open_views() as live:
        before = await all_rows({**live, "posts": live["posts"]})
        head = await world.append_next_events()
        await world.stack.wait_until_projected(head, but="posts")
        [posts, timeline] = await world.run_for_json("projections", "status", "posts", "timeline")
        assert (posts["state"], timeline["state"]) == ("paused", "current")
        assert posts["lag"] > 0
        assert max(posts["partitions"]) == posts["lag"]
        assert timeline["partitions"] == [0] * world.stack.topic.partitions
        after = await all_rows(live)
    mine = {name for name in before if name.startswith("posts.")}
    assert {name: after[name] for name in mine} == {name: before[name] for name in mine}
    assert await world.run_program("projections", "resume", "posts") == (0, "", "posts is resumed")
    await world.wait_and_compare_rows()


async def test_an_event_that_cannot_be_applied_becomes_a_dead_letter_stops_a_rebuild_and_is_retried(
    world: StreamingWorld,
) -> None:
    view, post = await world.current_view("posts"), FIRST_ID + (1 << 49)
    position = await world.append_post_event(PostCreated(post, 7, "poison"), 0)
    head = await world.append_post_event(PostEdited(post, 7, "mended"), 1)
    await world.stack.wait_until_projected(head)
    letters = await world.run_for_json("dlq", "list")
    assert [(one["projection"], one["position"]) for one in letters] == [
        ("posts", str(position)), ("posts", str(head)),
    ]  # fmt: skip
    assert letters[0]["error"] == "ValueError: cannot take this"
    _, out, _ = await world.run_program("dlq", "inspect", "posts", str(position))
    assert any("in squeamish" in line for line in json.loads(out)["traceback"])

    status, _, err = await world.run_program(
        "projections", "rebuild", "posts", **world.stack.worker_environment
    )
    assert status == 1
    assert f"posts cannot apply the event at position {position} (post-created" in err
    assert await world.current_view("posts") == view

    said = await world.run_program("dlq", "replay", "posts", **world.stack.worker_environment)
    assert (said[0], said[2]) == (1, "starling: posts applied 0 events; 2 stay dead letters")
    assert (await world.run_program("dlq", "replay", "posts"))[
        2
    ] == "posts applied 2 events; 0 stay dead letters"
    await world.append_post_event(PostEdited(post, 7, "once more"), 2)
    await world.wait_and_compare_rows()
    assert await world.run_for_json("dlq", "list") == []


async def test_operators_do_the_same_over_http(world: StreamingWorld) -> None:
    view, path = await world.current_view("trending"), "/v1/projections/trending"
    token = SignedTokenIssuer(signing_secret(world.settings), clock_ms).issue(7, [OPERATOR_SCOPE])
    async with running_processes(world.settings.data) as running:
        running.use_environment(world.stack.profile_environment())
        await running.start_api()
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
            assert await world.current_view("trending") == rebuilt != view
            assert (await client.get(f"{path}/rebuild")).status_code == 404
            assert (await client.delete(f"{path}/rebuild")).status_code == 404
            assert (await client.post(f"{path}/pause")).json()["state"] == "paused"
            assert (await client.post(f"{path}/resume")).json()["state"] == "current"
            metrics = (await client.get("/metrics")).text
            assert 'starling_partition_lag{partition="2",projection="posts"} 0.0' in metrics
            assert (await client.get("/v1/trends")).status_code == 200


async def test_a_newer_version_is_rebuilt_in_the_background_while_the_older_view_serves(
    world: StreamingWorld,
) -> None:
    before = await world.current_view("posts")
    world.stack.worker_environment = world.newer_version_env
    with world.stack.running_worker():
        build = await world.wait_for_rebuild_rows("posts")
        assert await world.current_view("posts") == before
        await world.append_next_events(50)
        while await world.current_view("posts") == before:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert await world.current_view("posts") == build
        assert build.startswith(f"posts_{projection_named('posts').version + 1}_g")
        await world.append_next_events(50)
        await world.wait_and_compare_rows()


async def test_an_event_that_is_skipped_is_left_out_now_and_in_rebuilds(
    world: StreamingWorld,
) -> None:
    post = FIRST_ID + (3 << 49)
    position = await world.append_post_event(PostCreated(post, 7, "poison"), 0)
    await world.stack.wait_until_projected(position)
    said = await world.run_program("projections", "skip", "posts", str(position))
    assert said == (0, "", "posts skips 1 events")
    assert await world.run_for_json("dlq", "list") == []
    [told] = await world.run_for_json("projections", "status", "posts")
    assert told["skips"] == [str(position)]
    status, _, err = await world.run_program("projections", "rebuild", "posts")
    assert (status, f"posts: leaves out what it skips: {position}" in err) == (0, True)
    status, _, err = await world.run_program("projections", "skip", "posts", str(position + 1))
    assert (status, "only a dead letter can be skipped" in err) == (1, True)
    async with world.stack.open_views() as live:
        assert await live["posts"].scan(POSTS, (post,)) == []
    past = ("projections", "show", "posts", "--table", "posts", "--json")
    status, out, _ = await world.run_program(*past, "--at", str(position))
    assert (status, str(post) in out) == (0, False)
    assert len(out.splitlines()) > 50
    assert (await world.run_program("projections", "unskip", "posts", str(position)))[0] == 0
    [told] = await world.run_for_json("projections", "status", "posts")
    assert told["skips"] == []
