"""`GET /v1/events`: what is selected, streams that follow, readers that go away."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

import api.v1.events
from events.envelope import StoredEvent
from infra.entrypoints.api_server import GRACE_SECONDS
from tests.support.api_world import ApiWorld, register_user
from tests.support.retrying_client import RetryingClient
from tests.support.server_processes import ServerProcesses, running_processes
from tests.support.starling_program import starling


@pytest.fixture
async def analyst(world: ApiWorld) -> AsyncIterator[httpx.AsyncClient]:
    """A client who may read events, in a world where Ada and Bob have posted."""
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    for number in range(3):
        await ada.create_post(f"Nr. {number}")
        world.clock.ms += 60_000
    await bob.send_command("PUT", "/v1/users/@ada/follow")
    async with world.new_client(world.tokens.issue(int(ada.id), ("analyst",))) as client:
        yield client


async def events(client: httpx.AsyncClient, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/events{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_all_events_come_one_a_line_in_log_order(
    analyst: httpx.AsyncClient, world: ApiWorld
) -> None:
    found = await events(analyst)
    assert [event["id"] for event in found] == [str(e.id) for e in world.log.read_all()]
    assert (await analyst.get("/v1/events")).headers["Starling-Position"] == str(world.log.head())
    assert (await analyst.head("/v1/events")).status_code == 200


async def test_conditions_select(analyst: httpx.AsyncClient) -> None:
    everything = await events(analyst)
    posts = [event for event in everything if event["type"] == "post-created"]
    second, third = posts[1]["time"], posts[2]["time"]
    assert await events(analyst, "?type=post-created") == posts
    assert await events(analyst, f"?from={second}&to={third}") == [posts[1]]
    assert await events(analyst, f"?from={posts[1]['id']}&type=post-created") == posts[1:]
    assert await events(analyst, f"?after={posts[1]['position']}&type=post-created") == posts[2:]
    assert await events(analyst, f"?stream={posts[0]['stream']}") == posts[:1]
    bobs = await events(analyst, "?user=@bob")
    assert {event["actor"] for event in bobs} == {bobs[0]["actor"]}
    assert [event["type"] for event in bobs][-1] == "user-followed"
    two = [e for e in everything if e["type"] in ("post-created", "user-followed")]
    assert await events(analyst, "?type=post-created,user-followed") == two
    assert await events(analyst, "?type=post-created&type=user-followed") == two


@pytest.mark.parametrize(
    ("query", "status"),
    [("after=x", 422), ("from=now", 422), ("type=post", 422), ("user=@missing", 404)],
)
async def test_conditions_that_make_no_sense_are_refused(
    analyst: httpx.AsyncClient, query: str, status: int
) -> None:
    answer = await analyst.get(f"/v1/events?{query}")
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_only_analysts_may_read_events(
    analyst: httpx.AsyncClient, world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    assert (await stranger.get("/v1/events")).status_code == 401
    bob = await register_user(world, "bert")
    async with world.new_client(bob.token) as client:
        assert (await client.get("/v1/events")).status_code == 403


class StreamClient:
    """One request to a stream in this process, read chunk by chunk as its owner wants."""

    def __init__(self, world: ApiWorld, token: str, query: str = "", **headers: str) -> None:
        named = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        scope = {
            "type": "http", "method": "GET", "path": "/v1/events", "query_string": query.encode(),
            "headers": [(b"authorization", b"Bearer " + token.encode()), *named],
        }  # fmt: skip
        self.left = asyncio.Event()
        self.sent = 0
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(1)
        self.request = asyncio.ensure_future(world.app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            await self._chunks.put(message["body"])  # as a connection without room would
            self.sent += 1

    async def next_chunk(self) -> str:
        return (await asyncio.wait_for(self._chunks.get(), 10)).decode()

    async def disconnect(self) -> None:
        self.left.set()
        await asyncio.wait_for(self.request, 10)


async def open_event_stream(world: ApiWorld, **headers: str) -> StreamClient:
    ada = await register_user(world, "grace")
    token = world.tokens.issue(int(ada.id), ("analyst",))
    return StreamClient(world, token, accept="text/event-stream", **headers)


def ids(chunk: str) -> list[int]:
    return [int(line[4:]) for line in chunk.splitlines() if line.startswith("id: ")]


@pytest.mark.usefixtures("analyst")
async def test_a_stream_of_events_follows_the_log(world: ApiWorld) -> None:
    reader = await open_event_stream(world)
    assert (await reader.next_chunk()).startswith("retry:")
    head = world.log.head()
    first = await reader.next_chunk()
    assert ids(first) == [event.position for event in world.log.read_all()]
    assert json.loads(first.splitlines()[1].removeprefix("data: "))["position"] == str(
        ids(first)[0]
    )
    await register_user(world, "late")
    assert ids(await reader.next_chunk())[0] == world.log.read_all(head)[0].position
    await reader.disconnect()


@pytest.mark.usefixtures("analyst")
async def test_last_event_id_goes_on_where_a_stream_broke_off(world: ApiWorld) -> None:
    seen, missed = world.log.read_all(limit=8)[-2:]
    reader = await open_event_stream(world, last_event_id=str(seen.position))
    await reader.next_chunk()
    assert ids(await reader.next_chunk())[0] == missed.position
    await reader.disconnect()


async def test_a_position_that_the_log_never_gave_is_refused(analyst: httpx.AsyncClient) -> None:
    for query, headers in (({"after": "7"}, {}), ({}, {"Last-Event-ID": "7"})):
        answer = await analyst.get("/v1/events", params=query, headers=headers)
        assert answer.status_code == 422
        assert answer.json()["type"].endswith("position-invalid")
        assert "no position 7" in answer.json()["detail"]


async def test_a_quiet_stream_sends_heartbeats_with_its_position(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.v1.events, "HEARTBEAT", 0.01)
    reader = await open_event_stream(world)
    await reader.next_chunk()
    await reader.next_chunk()
    beat = await reader.next_chunk()
    assert beat == f": still here\nid: {world.log.head()}\n\n"
    await reader.disconnect()


async def test_a_filtered_stream_of_a_busy_log_sends_heartbeats(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.v1.events, "HEARTBEAT", 0.2)
    ada = await register_user(world, "ada")
    token = world.tokens.issue(int(ada.id), ("analyst",))
    reader = StreamClient(world, token, "type=user-deleted", accept="text/event-stream")

    async def be_busy() -> None:
        while True:
            await ada.create_post("something else")
            await asyncio.sleep(0.01)

    busy = asyncio.create_task(be_busy())
    assert (await reader.next_chunk()).startswith("retry:")
    first, second = [ids(await reader.next_chunk()) for _ in range(2)]
    busy.cancel()
    assert 1 < first[0] < second[0], "heartbeats say how far the stream is"
    await reader.disconnect()


@pytest.mark.usefixtures("analyst")
async def test_a_reader_who_goes_away_ends_the_work(world: ApiWorld) -> None:
    reader = await open_event_stream(world)
    await reader.next_chunk()
    await reader.next_chunk()
    before = asyncio.all_tasks()
    await reader.disconnect()
    assert reader.request.done()
    assert not [task for task in before if not task.done() and task is not asyncio.current_task()]


async def test_a_slow_reader_slows_the_log_down(world: ApiWorld, monkeypatch: Any) -> None:
    made: list[bytes] = []
    encode = api.v1.events._ndjson

    def counted(found: list[StoredEvent]) -> bytes:
        made.append(encode(found))
        return made[-1]

    monkeypatch.setattr(api.v1.events, "_ndjson", counted)
    monkeypatch.setattr("events.event_filter.EVENTS_PER_BATCH", 1)
    ada = await register_user(world, "ada")
    for number in range(20):
        await ada.create_post(f"Nr. {number}")
    reader = StreamClient(world, world.tokens.issue(int(ada.id), ("analyst",)))
    for taken in range(1, 10):
        await reader.next_chunk()
        await asyncio.sleep(0.01)
        assert len(made) <= taken + 3
    await reader.disconnect()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcesses]:
    async with running_processes(tmp_path) as running:
        yield running


async def test_a_server_that_stops_ends_its_streams_at_once(
    server: ServerProcesses, tmp_path: Path
) -> None:
    process, _ = await server.start_api(), await server.start_projector()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        joined = await RetryingClient(session, server.url, "ada").register()
        # The views have her once this is answered.
        seen_by = {"Starling-Position": str(joined.position)}
        await (await session.get(f"{server.url()}/v1/users/@ada", headers=seen_by)).read()
        said = starling("token", "@ada", "--scope", "analyst", "--data", tmp_path)
        token = said.stdout.decode().strip()
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        async with session.get(f"{server.url()}/v1/events", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            seen = b""
            while b"user-registered" not in seen:
                seen += await answer.content.readany()
            process.terminate()
            # Its end is the stream's own: a connection that broke would raise here.
            assert await answer.content.read() == b""
            await asyncio.wait_for(process.wait(), GRACE_SECONDS - 1)
