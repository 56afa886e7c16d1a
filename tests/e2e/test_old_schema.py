"""A projection whose tables changed with its version: the old view serves until it is rebuilt."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.settings import Settings
from infra.sqlite.view_files import version_of_file
from tests.support.data_folders import (
    PROJECTED_EVENTS,
    current_view_file,
    patched_environment,
    view_file_names,
)
from tests.support.server_processes import ServerProcesses, running_processes
from tests.support.starling_program import STARLING

CHANGED = """
import os, sys
if 'infra.embedded.rebuild_process' in sys.orig_argv:
    open({gate!r}).read()
from typing import NamedTuple
from projections import profiles

class ProfileRow(NamedTuple):
    user: int
    handle: str
    name: str
    bio: str
    deleted: int = 0
    avatar: str = ''
    header: str = ''
    suspended: int = 0
    fields: str = ''
    bot: int = 0
    shout: str = ''

profiles.ProfileRow = ProfileRow
object.__setattr__(profiles.PROFILES, 'row_type', ProfileRow)
profiles.ProfilesProjection.version = 5
project, find_by_handle = profiles.ProfilesProjection.project, profiles.find_by_handle

def louder(self, recorded, view):
    project(self, recorded, view)
    for key, row in view.changes.puts.get(profiles.PROFILES, {{}}).items():
        view.put(profiles.PROFILES, row._replace(shout=row.name.upper()))

async def shouted(store, handle):
    row = await find_by_handle(store, handle)
    return row if row and row.shout == row.name.upper() else None

profiles.ProfilesProjection.project = louder
profiles.find_by_handle = shouted
"""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A named pipe: rebuilds wait at their start until the test writes into it."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    yield path
    os.close(os.open(path, os.O_RDWR))  # a builder whose projector was killed may still wait


@pytest.fixture
async def running(data: Settings, gate: Path, tmp_path: Path) -> AsyncIterator[ServerProcesses]:
    env = patched_environment(tmp_path / "patch", CHANGED.format(gate=str(gate)), data)
    async with running_processes(data.data) as found:
        found.use_environment(env)
        await found.start_api()
        yield found


@pytest.fixture
async def client(running: ServerProcesses) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=running.url(), trust_env=False, timeout=60) as found:
        yield found


async def check_old(client: httpx.AsyncClient) -> None:
    """What the old view has is answered; what it has not is refused, and says until when."""
    assert (await client.get("/v1/users/7")).json()["name"] == "User 7"
    refused = await client.get("/v1/users/@user7")
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/view-rebuilding")
    assert "being rebuilt" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) > 0
    timeline = await client.get("/v1/timelines/public")
    assert timeline.json()[0]["posted_by"]["name"].startswith("User ")


async def status(running: ServerProcesses, data: Settings, tmp_path: Path) -> Any:
    """Where the projection stands, as the changed program tells it."""
    process = await asyncio.create_subprocess_exec(
        STARLING, "projections", "status", "profiles", "--json", "--data", data.data,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "patch")}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    [row] = json.loads(said)
    return row


async def registered(client: httpx.AsyncClient, handle: str) -> str:
    body = {
        "handle": handle, "name": "New", "email": f"{handle}@example.org", "password": "long enough"
    }  # fmt: skip
    answer = await client.post("/v1/users", json=body)
    assert answer.status_code == 201, answer.text
    position: str = answer.headers["starling-position"]
    return position


async def test_the_old_view_serves_what_it_can_until_the_rebuild_is_done(
    running: ServerProcesses, client: httpx.AsyncClient, data: Settings, gate: Path, tmp_path: Path
) -> None:
    await check_old(client)
    await running.start_projector()
    position = await registered(client, "wren")
    headers = {"Starling-Position": position}
    answer = await client.get("/v1/timelines/public", headers=headers)
    assert answer.status_code == 503, "the old view lacks what was written later"
    await check_old(client)
    state = await status(running, data, tmp_path)
    assert (state["version"], state["state"]) == (4, "outdated")
    assert int(state["position"]) <= PROJECTED_EVENTS < int(state["position"]) + state["lag"]
    assert state["rebuild"]
    ready = await client.get("/health/ready")
    assert ready.status_code == 200, ready.text
    assert "older views answer until theirs are rebuilt (profiles as of" in ready.json()["detail"]
    with gate.open("w"):
        pass
    async with asyncio.timeout(60):
        while (answer := await client.get("/v1/users/@wren")).status_code != 200:
            pass
    assert answer.json()["name"] == "New"
    assert (await client.get("/v1/users/7", headers=headers)).json()["name"] == "User 7"
    assert "detail" not in (await client.get("/health/ready")).json()
    assert version_of_file(current_view_file(data, "profiles").name) == 5
    assert "profiles-4.sqlite" not in view_file_names(data)


async def test_a_projector_that_died_before_the_rebuild_was_done_leaves_the_old_view_serving(
    running: ServerProcesses, client: httpx.AsyncClient, data: Settings
) -> None:
    projector = await running.start_projector()
    async with asyncio.timeout(60):
        while "profiles.rebuild.json" not in view_file_names(data):
            await client.get("/health/live")
    await running.kill(projector)
    await check_old(client)
    await running.start_projector()
    await check_old(client)
