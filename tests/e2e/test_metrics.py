"""One scrape shows what all processes on a data folder counted."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support.server_processes import ServerProcesses, running_processes
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[ServerProcesses]:
    async with running_processes(tmp_path, listeners=2) as running:
        yield running


async def scrape(processes: ServerProcesses, listener: int = 0) -> dict[str, float]:
    """The samples by name and labels."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, verify=False) as client:
        text = (await client.get(f"{processes.url(listener)}/metrics")).text
    return {
        name: float(value)
        for name, value in re.findall(r"^(starling_[^ ]+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
    }


async def ask(processes: ServerProcesses, listener: int, times: int) -> None:
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, verify=False) as client:
        for _ in range(times):
            assert (await client.get(f"{processes.url(listener)}/v1/posts/1")).status_code == 404


ASKED = 'starling_requests_total{method="GET",path="/v1/posts/{id}",status="404"}'
TIMED = 'starling_request_seconds_count{method="GET",path="/v1/posts/{id}"}'


async def test_a_scrape_of_either_api_process_shows_the_requests_of_both(
    processes: ServerProcesses,
) -> None:
    await processes.start_projector()
    await processes.start_api(0)
    await processes.start_api(1)
    await ask(processes, 0, 3)
    await ask(processes, 1, 4)
    for listener in (0, 1):
        samples = await scrape(processes, listener)
        assert (samples[ASKED], samples[TIMED]) == (7, 7)


async def test_counters_go_on_where_they_were_after_a_process_was_killed(
    processes: ServerProcesses,
) -> None:
    await processes.start_projector()
    killed = await processes.start_api(0)
    await processes.start_api(1)
    await ask(processes, 0, 3)
    await ask(processes, 1, 4)
    await processes.kill(killed)
    assert (await scrape(processes, 1))[ASKED] == 7
    await processes.start_api(0)
    await ask(processes, 0, 2)
    assert (await scrape(processes, 1))[ASKED] == (await scrape(processes, 0))[ASKED] == 9
    assert len(list((processes.data / "metrics").glob("counter_api-*.db"))) == 2


async def test_a_scrape_shows_the_projector_and_the_memory_of_what_runs(
    processes: ServerProcesses,
) -> None:
    projector = await processes.start_projector()
    await processes.start_api(0)
    async with httpx.AsyncClient(base_url=processes.url(), timeout=PATIENCE_SECONDS) as client:
        account = {"handle": "ada", "name": "A", "email": "a@b.cd", "password": "correct horse"}
        registered = await client.post("/v1/users", json=account)
        position = registered.headers["Starling-Position"]
        await client.get("/v1/users/ada", headers={"Starling-Position": position})
    samples = await scrape(processes)
    assert samples['starling_projected_events_total{projection="profiles"}'] == 1
    assert samples['starling_projection_batch_seconds_count{projection="profiles"}'] == 1
    assert samples['starling_projection_position{partition="0",projection="profiles"}'] == int(
        position
    )
    memory = "starling_process_resident_memory_bytes"
    assert samples[memory + '{process="api-1"}'] > 10_000_000
    assert samples[memory + '{process="projector-1"}'] > 10_000_000
    assert samples['starling_process_cpu_seconds_total{process="projector-1"}'] > 0
    await processes.kill(projector)
    samples = await scrape(processes)
    assert memory + '{process="projector-1"}' not in samples
    assert samples['starling_projected_events_total{projection="profiles"}'] == 1
