"""An account whose erasure was cut off by a crash is erased when the server starts again."""

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from infra.settings import Settings
from tests.support.data_folders import patched_environment
from tests.support.server_processes import running_processes
from tests.support.starling_program import starling_environment

DYING = """
import os
from infra.sqlite.accounts import SqliteAccounts
async def dying(self, user):
    os.kill(os.getpid(), 9)
SqliteAccounts.remove = dying
"""


def emails(data: Path) -> list[str]:
    with closing(sqlite3.connect(data / "accounts.sqlite")) as accounts:
        return [email for (email,) in accounts.execute("SELECT email FROM accounts ORDER BY 1")]


async def test_what_a_crash_left_of_a_deleted_account_is_erased_at_the_next_start(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    async with running_processes(data) as running:
        running.use_environment(patched_environment(tmp_path / "patch", DYING, Settings(data=data)))
        first = await running.start_api()
        async with httpx.AsyncClient(base_url=running.url(), trust_env=False, timeout=60) as client:
            for name in ("ada", "bob"):
                body = {
                    "handle": name, "name": name, "email": f"{name}@example.org",
                    "password": "correct horse",
                }  # fmt: skip
                answer = await client.post("/v1/users", json=body)
                assert answer.status_code == 201, answer.text
            headers = {"Authorization": f"Bearer {answer.json()['token']}"}
            with pytest.raises(httpx.RemoteProtocolError):
                await client.delete("/v1/users/me", headers=headers)
            await first.wait()
            assert emails(data) == ["ada@example.org", "bob@example.org"]
            running.use_environment(starling_environment(STARLING_DATA=str(data)))
            await running.start_api()
            assert (await client.get("/health/live")).status_code == 200
        assert emails(data) == ["ada@example.org"]
