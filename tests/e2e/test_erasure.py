"""What is deleted can't be read any more: in no file of the data folder, no export, no backup."""

import asyncio
import re
import shutil
import signal
from pathlib import Path

import psutil

from infra.encryption.text_cipher import TextCipher
from infra.files.media_folder import MediaFolder
from infra.log_of_record import open_log, open_text_keys
from infra.settings import Settings
from tests.support.erased_texts import (
    ERASURE_SECONDS,
    KEPT,
    NAME,
    TEXT,
    WRITTEN,
    Writers,
    files_with,
    readable_texts,
    wait_until_erased,
)
from tests.support.running_server import (
    PASSWORD,
    running_server,
    send_request,
    serving_process,
)
from tests.support.starling_program import starling
from tests.support.waiting import wait_until


async def test_what_was_deleted_is_in_no_file_and_no_export(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        writers = Writers(server)
        await writers.write()
        shown = await send_request(server, "GET", f"/v1/posts/{writers.post}", writers.bob["token"])
        assert (shown.json()["text"], shown.json()["posted_by"]["name"]) == (TEXT, NAME)
        image = MediaFolder(data / "media").path_of(writers.image)
        assert image.exists()
        assert all(text in readable_texts(data) for text in (*WRITTEN, KEPT))
        # The copy in Parquet, and a view as it was.
        asked = starling("sql", "SELECT text, data FROM events", "--json", "--data", data)
        assert TEXT.encode() in asked.stdout, asked.stderr
        before = shown.json()["date_posted"]
        path = f"/v1/users/{writers.ada['id']}?at={before}"
        past = await send_request(server, "GET", path, writers.bob["token"])
        assert past.json()["name"] == NAME
        await writers.delete()
        await wait_until_erased(data)
        await wait_until(lambda: not image.exists(), seconds=ERASURE_SECONDS)
        assert KEPT in readable_texts(data)
        for path, status in (
            (f"/v1/users/{writers.ada['id']}?at={before}", 404),
            (f"/v1/posts/{writers.post}", 404),
            (f"/v1/posts/{writers.kept}", 200),
        ):
            answer = await send_request(server, "GET", path, writers.bob["token"])
            assert answer.status_code == status
        for question in ("SELECT * FROM events", "SELECT * FROM profile_changed"):
            asked = starling("sql", question, "--json", "--data", data)
            assert asked.returncode == 0
            assert not any(text.encode() in asked.stdout for text in WRITTEN)
        assert (
            starling("projections", "rebuild", "posts", "profiles", "--data", data).returncode == 0
        )
    # What is kept is sealed as well.
    assert files_with(data, *WRITTEN, KEPT, "ada@x.org") == []


async def test_backups_of_before_lose_what_is_deleted_later(tmp_path: Path) -> None:
    data, first, second, restored = (
        tmp_path / name for name in ("data", "first", "second", "restored")
    )
    with running_server(data) as server:
        writers = Writers(server)
        await writers.write()
        assert starling("backup", first, "--data", data).returncode == 0
        assert not (first / "text-keys.sqlite").exists()
        assert files_with(first, *WRITTEN) == []
        await writers.delete()
        await wait_until_erased(data)
        assert starling("backup", second, "--data", data).returncode == 0
    old_keys, new_keys = (tmp_path / f"{name}.text-keys.sqlite" for name in ("first", "second"))
    done = starling("restore-backup", first, "--keys", new_keys, "--data", restored)
    assert done.returncode == 0, done.stderr
    texts = readable_texts(restored)
    assert KEPT in texts
    assert not any(text in texts for text in WRITTEN)
    shutil.rmtree(restored)
    # That is why copies of the keys are not kept.
    assert starling("restore-backup", first, "--data", restored).returncode == 0
    assert TEXT in readable_texts(restored)
    shutil.rmtree(restored)
    old_keys.unlink()
    refused = starling("restore-backup", first, "--data", restored)
    assert refused.returncode == 1
    assert re.fullmatch(
        rb"starling: .*first\.text-keys\.sqlite is missing.*--keys\n", refused.stderr
    )
    inside = starling("backup", tmp_path / "x", "--keys", tmp_path / "x" / "k", "--data", data)
    assert inside.returncode == 1


async def test_a_server_that_is_killed_while_it_erases_goes_on_when_it_starts_again(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with serving_process("--data", data) as (server, address):
        writers = Writers(address)
        await writers.write()
        deleting = asyncio.create_task(writers.delete())
        await deleting
        for process in psutil.Process(server.pid).children(recursive=True):
            process.send_signal(signal.SIGKILL)
        server.kill()
    image = MediaFolder(data / "media").path_of(writers.image)
    async with serving_process("--data", data):
        await wait_until_erased(data)
        await wait_until(lambda: not image.exists(), seconds=ERASURE_SECONDS)
    assert KEPT in readable_texts(data)


async def test_an_export_of_what_is_left_is_restored_under_new_keys(tmp_path: Path) -> None:
    data, restored = tmp_path / "data", tmp_path / "restored"
    with running_server(data) as server:
        writers = Writers(server)
        await writers.write()
        await writers.delete()
        await wait_until_erased(data)
    export = tmp_path / "events.jsonl"
    assert starling("replay", "-o", export, "--data", data).returncode == 0
    done = starling("restore", export, "--data", restored)
    assert done.returncode == 0, done.stderr
    assert readable_texts(restored) == readable_texts(data)
    assert files_with(restored, KEPT) == []
    with running_server(restored) as server:
        post = await send_request(server, "GET", f"/v1/posts/{writers.kept}")
        assert post.json()["text"] == KEPT
        account = {"handle": "bob", "password": PASSWORD}
        assert (await send_request(server, "POST", "/v1/sessions", json=account)).status_code == 401


async def test_a_log_without_its_keys_is_not_started_as_if_all_were_erased(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        await Writers(server).write()
    (data / "text-keys.sqlite").write_bytes(b"")
    for command in (("serve", "--port", "0"), ("replay",), ("sql", "SELECT 1")):
        refused = starling(*command, "--data", data)
        assert (refused.returncode, refused.stderr.count(b"\n")) == (1, 1), refused.stderr
        assert b"text-keys.sqlite are missing" in refused.stderr
    (data / "text-keys.lost").touch()
    settings = Settings(data=data)
    with open_log(settings) as log, open_text_keys(settings, log) as keys:
        assert TextCipher(keys).open_text("as written") == "as written"
    assert KEPT not in readable_texts(data)
