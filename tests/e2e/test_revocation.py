"""A session that ends at one API process is refused at the other within a second."""

import time
from pathlib import Path

import httpx

from tests.support.server_processes import running_processes


async def test_a_session_that_ended_at_one_process_is_refused_at_the_other_within_a_second(
    tmp_path: Path,
) -> None:
    async with running_processes(tmp_path, listeners=2) as running:
        await running.start_api(0)
        await running.start_api(1)
        body = {
            "handle": "ada", "name": "Ada", "email": "ada@example.org", "password": "correct horse",
        }  # fmt: skip
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.post(f"{running.url(0)}/v1/users", json=body)
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
