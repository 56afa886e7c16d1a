"""What operators see and do over HTTP, on real processes; and views as they were."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.accounts.access_tokens import OPERATOR_SCOPE
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.sqlite.view_files import ViewFiles
from infra.wiring.signing_secret import signing_secret
from projections.registry import ALL_PROJECTIONS, projection_named
from tests.support.data_folders import current_view_file, tamper_with_view, view_file_name
from tests.support.server_processes import ServerProcesses, running_processes
from tests.support.signed_tokens import SignedTokenIssuer


@pytest.fixture
async def running(data: Settings) -> AsyncIterator[ServerProcesses]:
    async with running_processes(data.data) as found:
        await found.start_api()
        yield found


@pytest.fixture
async def operator(running: ServerProcesses, data: Settings) -> AsyncIterator[httpx.AsyncClient]:
    token = SignedTokenIssuer(signing_secret(data), clock_ms).issue(7, [OPERATOR_SCOPE])
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=running.url(), headers=headers, trust_env=False, timeout=60
    ) as client:
        yield client


async def read_sse_events(
    client: httpx.AsyncClient, method: str, path: str
) -> list[tuple[str, Any]]:
    """The server-sent events of an answer: kind and data."""
    answer = await client.request(method, path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream"
    found = []
    for event in answer.text.split("\n\n")[:-1]:
        kind, data = event.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


async def projection_status(client: httpx.AsyncClient, name: str) -> Any:
    answer = await client.get("/v1/projections")
    assert answer.status_code == 200, answer.text
    return next(one for one in answer.json() if one["name"] == name)


async def test_an_operator_sees_the_status_of_the_projections(
    operator: httpx.AsyncClient, data: Settings
) -> None:
    answer = await operator.get("/v1/projections")
    assert [one["name"] for one in answer.json()] == [each.name for each in ALL_PROJECTIONS]
    assert await projection_status(operator, "posts") == {
        "name": "posts", "version": projection_named("posts").version, "position": "6000",
        "lag": 0, "state": "current", "dead_letters": 0,
    }  # fmt: skip
    token = SignedTokenIssuer(signing_secret(data), clock_ms).issue(7)
    headers = {"Authorization": f"Bearer {token}"}
    assert (await operator.get("/v1/projections", headers=headers)).status_code == 403


async def test_a_rebuild_streams_its_progress_until_it_is_done(
    running: ServerProcesses, operator: httpx.AsyncClient, data: Settings
) -> None:
    await running.start_projector()
    tamper_with_view(
        current_view_file(data, "profiles"), "UPDATE profiles SET name = 'Mallory' WHERE user = 7"
    )
    *progress, (last, told_last) = await read_sse_events(
        operator, "POST", "/v1/projections/profiles/rebuild"
    )
    assert last == "done"
    assert {kind for kind, _ in progress} == {"progress"}
    rebuilt = current_view_file(data, "profiles").name
    assert told_last["view"] == rebuilt == view_file_name("profiles", 2)
    assert (await operator.get("/v1/users/7")).json()["name"] == "User 7"


async def test_a_failed_comparison_is_reported_and_stays_readable(
    running: ServerProcesses, operator: httpx.AsyncClient, data: Settings
) -> None:
    before = current_view_file(data, "profiles")
    tamper_with_view(before, "UPDATE profiles SET name = 'Mallory' WHERE user = 7")
    await running.start_projector()
    path = "/v1/projections/profiles/rebuild"
    kind, found = (await read_sse_events(operator, "POST", f"{path}?verify=true"))[-1]
    assert kind == "failed"
    assert "Mallory" in found["differences"][0]
    assert (await read_sse_events(operator, "GET", path))[-1] == ("failed", found)
    assert (await projection_status(operator, "profiles"))["rebuild"] == found
    assert current_view_file(data, "profiles") == before


async def test_a_rebuild_is_cancelled(operator: httpx.AsyncClient, data: Settings) -> None:
    files = ViewFiles(data.views_folder)
    with files.lock_rebuild("posts"):
        files.begin_rebuild(
            next(each for each in ALL_PROJECTIONS if each.name == "posts"), verify=False
        )
    path = "/v1/projections/posts/rebuild"
    async with operator.stream("GET", path) as watched:
        lines = watched.aiter_lines()
        assert await anext(lines) == "event: progress"
        answer = await operator.delete(path)
        assert answer.status_code == 200, answer.text
        kinds = [line async for line in lines if line.startswith("event")]
    assert kinds[-1] == "event: cancelled"
    assert (await operator.delete(path)).json()["type"] == "/problems/no-rebuild"
    assert (await operator.get(path)).status_code == 404


async def test_a_projection_is_paused_and_resumed(
    running: ServerProcesses, operator: httpx.AsyncClient
) -> None:
    await running.start_projector()
    answer = await operator.post("/v1/projections/trending/pause")
    assert answer.json()["state"] == "paused", answer.text
    answer = await operator.post("/v1/projections/trending/resume")
    assert answer.json()["state"] == "current", answer.text


async def test_what_cannot_be_is_refused_with_what_to_do(operator: httpx.AsyncClient) -> None:
    answer = await operator.post("/v1/projections/postings/rebuild")
    assert answer.status_code == 404
    assert "there are profiles, posts" in answer.json()["detail"]
    answer = await operator.post("/v1/projections/posts/rebuild?verify=perhaps")
    assert answer.status_code == 422
    answer = await operator.post("/v1/projections/posts/pause")
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/projector-not-running"


async def test_dead_letters_show_in_health_and_metrics(
    operator: httpx.AsyncClient, running: ServerProcesses, data: Settings
) -> None:
    tamper_with_view(
        current_view_file(data, "posts"),
        "INSERT INTO dead_letters VALUES (5, 50, 'post-1', 'post-created', 'ValueError', 'at')",
    )
    await running.start_projector()
    async with asyncio.timeout(60):
        while (answer := await operator.get("/health/ready")).status_code != 200:
            pass
    assert answer.json()["status"] == "ready"
    assert answer.json()["dead_letters"] == {"posts": 1}
    assert "see 'starling dlq list'" in answer.json()["detail"]
    metrics = (await operator.get("/metrics")).text
    assert 'starling_dead_letters{projection="posts"} 1.0' in metrics
    assert 'starling_dead_letters{projection="trending"} 0.0' in metrics
