"""Commands that look at a log, as processes on a data folder."""

import asyncio
import json
import sqlite3
import time
from pathlib import Path

import pytest

from api.accounts.access_tokens import AccessTokens
from api.accounts.errors import InvalidToken
from api.accounts.token_store import TokenClaims
from commands.request import CommandRequest
from commands.user import DeleteAccount, Register
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.wiring.profile_choice import choose_profile
from infra.wiring.write_side import open_write_side
from tests.support.starling_program import starling


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path)


@pytest.fixture
def wren(settings: Settings) -> int:
    """The id of the first user; there is a second one, who left."""

    async def register() -> int:
        with open_write_side(settings) as side:
            wren = await side.handler.handle(CommandRequest(Register("wren", "Wren"), 0))
            gone = await side.handler.handle(CommandRequest(Register("gone", "Gone"), 0))
            await side.handler.handle(CommandRequest(DeleteAccount(), gone.id))
            return wren.id

    return asyncio.run(register())


def read_claims(settings: Settings, token: bytes) -> TokenClaims:
    with choose_profile(settings).open_tokens() as store:
        tokens = AccessTokens(store, clock_ms, time.monotonic)
        return asyncio.run(tokens.read_claims(token.strip()))


@pytest.mark.parametrize("ref", ["@wren", "wren", "@Wren", "id"])
def test_a_token_is_for_the_user_and_has_the_scopes(
    ref: str, wren: int, settings: Settings
) -> None:
    who = str(wren) if ref == "id" else ref
    done = starling("token", who, "--scope", "import", "--scope", "user", "--data", settings.data)
    assert (done.returncode, done.stderr) == (0, b"")
    claims = read_claims(settings, done.stdout)
    assert claims.user == wren
    assert claims.scopes == {"import", "user"}


def test_an_operator_ends_the_sessions_of_a_user(wren: int, settings: Settings) -> None:
    token = starling("token", "wren", "--data", settings.data).stdout
    assert read_claims(settings, token).user == wren
    done = starling("token", "wren", "--revoke", "--data", settings.data)
    assert (done.returncode, done.stdout) == (0, b"1\n")
    with pytest.raises(InvalidToken, match="revoked"):
        read_claims(settings, token)


@pytest.mark.usefixtures("wren")
@pytest.mark.parametrize("ref", ["@missing", "1", "@gone", "not a ref"])
def test_there_is_no_token_for_who_has_no_account(ref: str, settings: Settings) -> None:
    done = starling("token", ref, "--data", settings.data)
    assert (done.returncode, done.stdout) == (1, b"")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.usefixtures("wren")
def test_a_whole_log_is_verified_with_0(settings: Settings) -> None:
    done = starling("events", "verify", "--data", settings.data)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"the log is whole" in done.stderr


@pytest.mark.usefixtures("wren")
def test_a_damaged_log_is_findings_and_1(settings: Settings) -> None:
    with sqlite3.connect(settings.log_path) as damaged:
        for (trigger,) in damaged.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            damaged.execute(f'DROP TRIGGER "{trigger}"')
        damaged.execute("UPDATE events SET version = 7 WHERE position = 2")
        damaged.execute("UPDATE events SET data = '{' WHERE position = 3")
    done = starling("events", "verify", "--json", "--data", settings.data)
    findings = json.loads(done.stdout)
    assert done.returncode == 1
    assert {finding["position"] for finding in findings} == {2, 3}


@pytest.mark.usefixtures("wren")
def test_without_a_projector_every_projection_is_absent(settings: Settings) -> None:
    done = starling("projections", "status", "--json", "--data", settings.data)
    rows = json.loads(done.stdout)
    assert {row["state"] for row in rows} == {"absent"}
    assert {"profiles", "posts", "followers", "timeline", "trending"} <= {r["name"] for r in rows}
    assert all(row["lag"] == 5 and row["position"] == "0" and row["version"] >= 1 for row in rows)


@pytest.mark.usefixtures("wren")
def test_one_projection_can_be_asked_for_and_an_unknown_one_is_wrong_usage(
    settings: Settings,
) -> None:
    done = starling("projections", "status", "posts", "--data", settings.data)
    assert (b"posts" in done.stdout, b"profiles" in done.stdout) == (True, False)
    assert b"partitions" not in done.stdout, "they belong to the streaming profile"
    wrong = starling("projections", "status", "hats", "--data", settings.data)
    assert (wrong.returncode, wrong.stdout) == (2, b"")
