"""A projector that died, or hangs, is seen within seconds of the next event."""

import asyncio
import signal
from pathlib import Path

import httpx
import pytest

from infra.settings import Settings
from tests.support.data_folders import patched_environment
from tests.support.server_processes import running_processes

SOON = "from api.v1 import health; health.STUCK_AFTER_SECONDS = 1.5"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_projector_that_applies_nothing_makes_the_server_unready(
    data: Settings, tmp_path: Path, number: signal.Signals
) -> None:
    env = patched_environment(tmp_path / "patch", SOON, data)
    async with running_processes(data.data) as running:
        running.use_environment(env)
        await running.start_api()
        projector = await running.start_projector()
        async with httpx.AsyncClient(base_url=running.url(), trust_env=False, timeout=60) as client:

            async def until(status: int) -> httpx.Response:
                async with asyncio.timeout(30):
                    while True:
                        answer = await client.get("/health/ready")
                        if answer.status_code == status:
                            return answer

            await until(200)
            projector.send_signal(number)
            body = {
                "handle": "wren",
                "name": "W",
                "email": "w@example.org",
                "password": "correct horse",
            }
            assert (await client.post("/v1/users", json=body)).status_code == 201
            answer = await until(503)
            assert "events wait, and the projector was not heard of" in answer.json()["detail"]
            if number == signal.SIGSTOP:
                projector.send_signal(signal.SIGCONT)
            else:
                await running.kill(projector)
                await running.start_projector()
            assert (await until(200)).json()["projections"]["profiles"]["ready"]
