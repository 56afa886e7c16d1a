"""A session that ends at one API process is refused at the other within a second."""

import asyncio
import time
from pathlib import Path

import httpx

from tests.support.server_processes import running_processes
from tests.support.waiting import PATIENCE_SECONDS

ADA = {"handle": "ada", "name": "Ada", "email": "ada@example.org", "password": "correct horse"}


async def test_a_session_that_ended_at_one_process_is_refused_at_the_other_within_a_second(
    tmp_path: Path,
) -> None:
    async with running_processes(tmp_path, listeners=2) as running:
        await running.start_api(0)
        await running.start_api(1)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.post(f"{running.url(0)}/v1/users", json=ADA)
            headers = {"Authorization": f"Bearer {answer.json()['token']}"}
            there = f"{running.url(1)}/v1/users/me/sessions"
            for _ in range(2):
                assert (await client.get(there, headers=headers)).status_code == 200
            here = f"{running.url(0)}/v1/users/me/sessions/current"
            assert (await client.delete(here, headers=headers)).status_code == 200
            ended = asked = time.monotonic()
            while (await client.get(there, headers=headers)).status_code == 200:
                asked = time.monotonic()
            # The last request that was answered had been sent by then.
            assert asked - ended < 1


async def test_a_stream_ends_when_its_session_ends_at_another_process(tmp_path: Path) -> None:
    async with running_processes(tmp_path, listeners=2) as running:
        await running.start_api(0)
        await running.start_api(1)
        await running.start_projector()
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.post(f"{running.url(0)}/v1/users", json=ADA)
            headers = {"Authorization": f"Bearer {answer.json()['token']}"}
            position = {"Starling-Position": answer.headers["Starling-Position"]}
            here = f"{running.url(0)}/v1/users/me/sessions/current"
            there = f"{running.url(1)}/v1/stream"
            await client.get(f"{running.url(1)}/v1/users/me", headers=headers | position)
            async with client.stream("GET", there, headers=headers) as stream:
                lines = stream.aiter_lines()
                assert await anext(lines) == "retry: 1000"
                assert (await client.delete(here, headers=headers)).status_code == 200
                async with asyncio.timeout(PATIENCE_SECONDS):
                    told = [line async for line in lines]
        assert "event: problem" in told
