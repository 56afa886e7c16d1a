"""`starling backup` and `starling restore-backup`: online, whole, and never half done."""

import asyncio
import json
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from infra.log_of_record import open_log
from infra.settings import Settings
from streams.export.verify import verify_log
from tests.support import big_logs
from tests.support.load_under_kill import HttpLoad
from tests.support.running_server import PASSWORD, register_user, running_server, send_request
from tests.support.server_processes import running_processes
from tests.support.starling_program import STARLING, starling, starling_environment

SLOW_FILE_BYTES = 100 << 20
"""Long enough to copy for a process to be killed meanwhile."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a log, media and what an operator decided; nothing runs on it."""
    data = big_logs.create_whole_log(tmp_path / "data", 3000)
    for name, content in (
        ("secret", b"a secret of this data folder"),
        ("views/controls.json", b'{"posts": {"paused": true}}'),
        ("media/ab/picture.png", b"\x89PNG"),
        ("status-page", b"made again"),
    ):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(content)
    return data


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_backup_holds_what_cannot_be_made_again_and_is_restored_as_it_was(
    data: Path, tmp_path: Path
) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    done = starling("backup", backup, "--data", data)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert b"media/ (files: 1)" in done.stderr
    kept = {"log.sqlite", "secret", "views/controls.json", "media/ab/picture.png"}
    assert files_of(backup) == {*kept, "backup.json"}
    assert {path.stat().st_mode & 0o077 for path in backup.rglob("*") if path.name in kept} == {0}
    done = starling("restore-backup", backup, "--data", restored)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert files_of(restored) == kept
    for name in kept - {"log.sqlite"}:
        assert (restored / name).read_bytes() == (data / name).read_bytes()
    assert starling("events", "verify", "--data", restored).returncode == 0
    whole = starling("replay", "--data", data).stdout
    assert starling("replay", "--data", restored).stdout == whole


@pytest.mark.timeout(180)
async def test_a_backup_under_load_holds_what_was_acknowledged_before_it(tmp_path: Path) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup"
    async with (
        running_processes(data) as running,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session,
    ):
        await running.start_api()
        await running.start_projector()
        load = HttpLoad(session, running)
        assert {(await person.register()).status for person in load.people} == {201}
        async with load.running():
            await load.wait_for_responses(500)
            before = {
                int(answer.body["id"])
                for person in load.people
                for answer in person.acknowledged_posts.values()
            }
            joined = [*load.people, *load.newcomers]
            done = await asyncio.to_thread(starling, "backup", backup, "--data", data)
            assert done.returncode == 0, done.stderr
            await load.wait_for_responses(100)  # the server goes on
    with open_log(Settings(data=backup)) as log:
        assert list(verify_log(log)) == []
        events = log.read_all(limit=10**7)
    assert before <= {stored.id for stored in events if stored.type == "post-created"}
    registered = {stored.actor for stored in events if stored.type == "user-registered"}
    assert {person.id for person in joined} <= registered
    assert registered <= accounts_in(backup)


def accounts_in(folder: Path) -> set[int]:
    """The users who can sign in."""
    with closing(sqlite3.connect(folder / "accounts.sqlite")) as accounts:
        return {user for (user,) in accounts.execute("SELECT user FROM accounts")}


async def test_a_restored_server_knows_passwords_tokens_and_posts(tmp_path: Path) -> None:
    data, backup, restored = (tmp_path / name for name in ("data", "backup", "restored"))
    with running_server(data) as server:
        robin = await register_user(server, "robin")
        made = await send_request(
            server, "POST", "/v1/posts", robin["token"], json={"text": "kept"}
        )
        assert starling("backup", backup, "--data", data).returncode == 0
    assert starling("restore-backup", backup, "--data", restored).returncode == 0
    with running_server(restored) as server:
        me = await send_request(
            server, "GET", "/v1/users/me", robin["token"], made.headers["starling-position"]
        )
        assert me.json()["handle"] == "robin"
        account = {"handle": "robin", "password": PASSWORD}
        assert (await send_request(server, "POST", "/v1/sessions", json=account)).status_code == 201
        post = await send_request(server, "GET", f"/v1/posts/{made.json()['id']}")
        assert post.json()["text"] == "kept"


def kill_while_copying(arguments: Sequence[str | Path], folder: Path) -> None:
    """Start the program, and kill it when the large file is being copied inside a folder."""
    process = subprocess.Popen([STARLING, *arguments], env=starling_environment())
    while not (folder / ".unfinished" / "media" / "slow").exists():
        assert process.poll() is None
    process.kill()
    assert process.wait() == -9


def test_a_backup_killed_in_the_middle_is_none_and_is_made_anew(data: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    (data / "media" / "slow").write_bytes(bytes(SLOW_FILE_BYTES))
    kill_while_copying(("backup", backup, "--data", data), backup)
    assert [path.name for path in backup.iterdir()] == [".unfinished"]
    refused = starling("restore-backup", backup, "--data", tmp_path / "restored")
    assert (refused.returncode, refused.stderr.count(b"\n")) == (1, 1)
    assert b"backup.json" in refused.stderr
    assert starling("backup", backup, "--data", data).returncode == 0
    assert not (backup / ".unfinished").exists()
    assert starling("restore-backup", backup, "--data", tmp_path / "restored").returncode == 0


def test_a_restore_killed_in_the_middle_leaves_no_log_and_is_started_again(
    data: Path, tmp_path: Path
) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    (data / "media" / "slow").write_bytes(bytes(SLOW_FILE_BYTES))
    assert starling("backup", backup, "--data", data).returncode == 0
    kill_while_copying(("restore-backup", backup, "--data", restored), restored)
    assert not (restored / "log.sqlite").exists()
    assert starling("restore-backup", backup, "--data", restored).returncode == 0
    assert starling("events", "verify", "--data", restored).returncode == 0


@pytest.mark.parametrize("wrong", ["changed", "missing", "outside"])
def test_a_backup_that_is_not_what_was_made_is_refused(
    wrong: str, data: Path, tmp_path: Path
) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    assert starling("backup", backup, "--data", data).returncode == 0
    if wrong == "missing":
        (backup / "secret").unlink()
    elif wrong == "changed":
        with (backup / "log.sqlite").open("r+b") as file:
            file.seek(5000)
            file.write(b"!")
    else:
        manifest = json.loads((backup / "backup.json").read_bytes())
        manifest["files"]["../secret"] = ""
        (backup / "backup.json").write_text(json.dumps(manifest))
    refused = starling("restore-backup", backup, "--data", restored)
    assert (refused.returncode, refused.stderr.count(b"\n")) == (1, 1)
    assert not restored.exists() or list(restored.iterdir()) == []


def test_nothing_is_put_into_a_folder_that_holds_anything(data: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    assert starling("backup", backup, "--data", data).returncode == 0
    before = files_of(data)
    for arguments in (("restore-backup", backup, "--data", data), ("backup", data, "--data", data)):
        refused = starling(*arguments)
        assert refused.returncode == 1
        assert b"not empty" in refused.stderr
    assert files_of(data) == before


def test_a_log_that_is_not_whole_is_not_backed_up(data: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(data / "log.sqlite")) as log:
        log.execute("DROP TRIGGER events_are_not_changed")
        log.execute("UPDATE events SET version = 2 WHERE position = 7")
        log.commit()
    assert starling("events", "verify", "--data", data).returncode == 1
    refused = starling("backup", tmp_path / "backup", "--data", data)
    assert (refused.returncode, refused.stderr.count(b"\n")) == (1, 1)
    assert b"position 7 " in refused.stderr
    assert list((tmp_path / "backup").iterdir()) == []
