"""A server on a data folder with one damaged file: it heals the file, or ends with one line.

The files are found by walking, so that a new one is tried by being there.
"""

import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import httpx
import pytest
from click.testing import CliRunner

from infra.cli.main import main
from infra.duckdb import parquet_copy
from tests.support.running_server import GREETING, PASSWORD, running_server
from tests.support.soak import WHOLE, amount, seeds
from tests.support.starling_program import STARLING, starling_environment
from tests.support.waiting import PATIENCE_SECONDS

START_SECONDS: Final = 40
PICKED: Final = 3
"""Damages that `make test` tries; `make soak` tries all."""

RANDOM_BYTES: Final = 1 << 20
"""Of a file with holes, such as the rings, no more than its beginning is overwritten."""


def _cut(file: BinaryIO, size: int) -> None:
    file.truncate(size // 2)


def _flip(file: BinaryIO, start: int, end: int) -> None:
    file.seek(start)
    flipped = bytes(byte ^ 0xFF for byte in file.read(end - start))
    file.seek(start)
    file.write(flipped)


def _overwrite(file: BinaryIO, size: int) -> None:
    file.write(random.Random(size).randbytes(min(size, RANDOM_BYTES)))


DAMAGES: Final[dict[str, Callable[[BinaryIO, int], object]]] = {
    "empty": lambda file, size: file.truncate(0),
    "cut in half": _cut,
    "first bytes flipped": lambda file, size: _flip(file, 0, 100),
    "a byte in the middle flipped": lambda file, size: _flip(file, size // 2, size // 2 + 1),
    "random bytes": _overwrite,
}
"""Given a file that is open at its beginning, and its size."""


class World:
    """A data folder after some traffic, and what can be read of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.posts: dict[str, str] = {}

    def fill(self, url: str) -> None:
        """Accounts, posts, follows, likes; timelines that are read, a view of the past, a pause."""
        with httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as client:
            tokens = {}
            for handle in ("ada", "bob"):
                body = {"handle": handle, "name": handle, "email": f"{handle}@x.org"}
                made = client.post("/v1/users", json=body | {"password": PASSWORD})
                tokens[handle] = {"Authorization": f"Bearer {made.json()['token']}"}
            client.put("/v1/users/@ada/follow", headers=tokens["bob"])
            for number in range(30):
                text = f"post {number} #tag{number % 3}"
                made = client.post("/v1/posts", json={"text": text}, headers=tokens["ada"])
                self.posts[made.json()["id"]] = text
            for post in list(self.posts)[:5]:
                made = client.put(f"/v1/posts/{post}/like", headers=tokens["bob"])
            for _ in range(3):
                fresh = {"Starling-Position": made.headers["starling-position"]}
                shown = client.get("/v1/timelines/home", headers=tokens["bob"] | fresh)
                assert len(shown.json()) == 20
            sign_in = {"handle": "ada", "password": "wrong"}
            assert client.post("/v1/sessions", json=sign_in).status_code == 401
            at = {"at": "2024-05-01T00:00:00Z"}
            client.get("/v1/users/@ada", params=at, headers=tokens["ada"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parquet_copy, "MAX_TAIL_EVENTS", 0)
            asked = ["sql", "SELECT count(*) FROM posts", "--data", str(self.folder)]
            assert CliRunner().invoke(main, asked).exit_code == 0
        for control in (["pause", "trending"], ["show", "profiles", "--at", "3"]):
            asked = ["projections", *control, "--data", str(self.folder)]
            assert CliRunner().invoke(main, asked).exit_code == 0

    def check(self, url: str) -> None:
        """Everything is there, and the server goes on working."""
        with httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as client:
            for post, text in self.posts.items():
                shown = client.get(f"/v1/posts/{post}")
                assert (shown.status_code, shown.json().get("text")) == (200, text)
            signed = client.post("/v1/sessions", json={"handle": "bob", "password": PASSWORD})
            assert signed.status_code in (200, 201), signed.text
            who = {"Authorization": f"Bearer {signed.json()['token']}"}
            made = client.post("/v1/posts", json={"text": "after"}, headers=who)
            assert made.status_code == 201, made.text
            fresh = who | {"Starling-Position": made.headers["starling-position"]}
            home = client.get("/v1/timelines/home", headers=fresh)
            texts = [post["text"] for post in home.json()]
            assert texts[0] == "after", texts
            assert texts[1:] == list(self.posts.values())[:-20:-1], texts
            assert client.get("/health/ready").status_code == 200


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A folder that holds two data folders: `running` is as it was while its server ran, with all
    that SQLite keeps beside its files, and `stopped` as it was afterwards."""
    made = World(tmp_path_factory.mktemp("world") / "stopped")
    with running_server(made.folder) as url:
        made.fill(url)
        time.sleep(1)
        copy_folder(made.folder, made.folder.with_name("running"))
    made.folder = made.folder.parent
    for folder in made.folder.iterdir():
        shutil.rmtree(folder / "notify")
    return made


def copy_folder(folder: Path, copy: Path) -> None:
    """With its holes: the rings are half a gigabyte, of which next to nothing is written."""
    subprocess.run(["cp", "-a", "--sparse=always", folder, copy], check=True)


def files_of(folder: Path) -> list[Path]:
    """All files with something in them, by their places in the folder."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    return [path.relative_to(folder) for path in found]


@contextmanager
def started_server(data: Path, output: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """A server that greets, with its address, or ends, with an empty one."""
    command = [str(STARLING), "serve", "--port", "0", "--data", str(data)]
    with output.open("wb") as said:
        process = subprocess.Popen(command, stderr=said, env=starling_environment())
    try:
        end = time.monotonic() + START_SECONDS
        url = ""
        while not url and process.poll() is None:
            assert time.monotonic() < end, f"neither ready nor ended: {output.read_text()[-3000:]}"
            time.sleep(0.05)
            found = re.search(GREETING, output.read_text(errors="replace"))
            url = found[1] if found else ""
        yield process, url
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0, output.read_text()
    finally:
        process.kill()
        process.wait()


def trials(world: World) -> list[tuple[Path, str]]:
    """Each file with each damage, in a random order."""
    every = [(path, damage) for path in files_of(world.folder) for damage in DAMAGES]
    random.Random(7).shuffle(every)
    return every


def try_damage(world: World, path: Path, damage: str, folder: Path) -> str:
    """'healed', or the line that the server ended with."""
    data, output = folder / "data", folder / "output"
    shutil.rmtree(data, ignore_errors=True)
    copy_folder(world.folder / path.parts[0], data)
    damaged = data.joinpath(*path.parts[1:])
    with damaged.open("r+b") as file:
        DAMAGES[damage](file, damaged.stat().st_size)
    with started_server(data, output) as (process, url):
        if url:
            world.check(url)
    said = output.read_text(errors="replace")
    assert "Traceback" not in said, said
    assert "it starts again" not in said, said
    if url:
        return "healed"
    assert process.returncode in (1, 2), said
    lines = said.splitlines()
    assert all(line.startswith("starling: ") for line in lines), said
    assert str(data) in lines[-1], said
    return lines[-1]


@pytest.mark.timeout(amount(300, 7200))
def test_a_server_heals_a_damaged_file_or_ends_with_one_line(world: World, tmp_path: Path) -> None:
    every = trials(world)
    failed: dict[tuple[str, str], Any] = {}
    for seed in seeds(PICKED, len(every)):
        path, damage = every[seed]
        try:
            result = try_damage(world, path, damage, tmp_path)
        except (AssertionError, httpx.HTTPError) as error:
            if not WHOLE:
                raise
            failed[str(path), damage] = error
            result = f"FAILED {str(error)[-1500:]}"
        print(f"{path}, {damage}: {result}")  # noqa: T201
    assert not failed, f"{len(failed)} of {len(every)}: {sorted(failed)}"
