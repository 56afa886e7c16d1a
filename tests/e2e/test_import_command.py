"""`starling import` as a process on a data folder."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from commands.request import CommandRequest
from commands.user import Register
from events.ids.snowflake import time_ms
from events.log import EventLog
from infra.log_of_record import open_log
from infra.settings import Settings
from infra.wiring.write_side import open_write_side
from tests.support.starling_program import STARLING, starling, starling_environment

Line = dict[str, Any]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


def town(people: int, posts: int) -> list[Line]:
    """Lines that make people, and posts of theirs."""
    lines: list[Line] = [
        {
            "command": "register",
            "key": f"person {n}",
            "at": f"2013-01-01T00:00:00.{n:03}Z",
            "data": {"handle": f"person_{n}", "name": f"Person {n}"},
        }
        for n in range(people)
    ]
    lines += (
        {"command": "post", "as": f"@person_{n % people}", "key": f"post {n}",
         "data": {"text": f"number {n}"}}
        for n in range(posts)
    )  # fmt: skip
    return lines


def ndjson(lines: list[Line]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def answers(stdout: bytes) -> list[Line]:
    return [json.loads(line) for line in stdout.splitlines()]


@contextmanager
def log_of(settings: Settings) -> Iterator[EventLog]:
    with open_log(settings) as log:
        yield log


def test_a_line_too_long_is_refused_by_itself(tmp_path: Path) -> None:
    good = b'{"command":"register","data":{"handle":"ada","name":"Ada"}}\n'
    for length in (65_537, 65_538, 65_539, 200_000, 10_000_000):
        long = b'{"command":"' + b"x" * length + b"\n"
        done = starling("import", "-", "--data", tmp_path / str(length), stdin=long + good)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert [answer["status"] for answer in answers] == [422, 201]
        assert answers[0]["problem"]["type"] == "/problems/line-too-long"


def test_every_line_is_answered_in_order(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "town.ndjson"
    file.write_bytes(ndjson(town(people=5, posts=2500)))
    done = starling("import", file, "--data", settings.data)
    assert (done.returncode, done.stderr) == (0, b"")
    results = answers(done.stdout)
    assert [answer["key"] for answer in results] == [line["key"] for line in town(5, 2500)]
    assert all(set(answer) == {"key", "status", "id", "position"} for answer in results)
    assert {answer["status"] for answer in results} == {201}
    assert time_ms(int(results[3]["id"])) == 1_356_998_400_003
    with log_of(settings) as log:
        assert log.head() == 2 * 5 + 2500  # a registration is two events


def test_an_import_started_again_gives_the_same_answers_and_no_events(settings: Settings) -> None:
    lines = ndjson(town(people=5, posts=50))
    first = starling("import", "-", "--data", settings.data, stdin=lines)
    with log_of(settings) as log:
        head = log.head()
    again = starling("import", "-", "--data", settings.data, stdin=lines)
    assert again.stdout == first.stdout
    with log_of(settings) as log:
        assert log.head() == head


def test_bad_lines_are_answered_and_end_it_with_1(settings: Settings) -> None:
    lines = b"{\n\n   \n" + ndjson(town(people=1, posts=1)) + b'{"command": "fly", "key": "k"}\n'
    done = starling("import", "-", "--data", settings.data, stdin=lines)
    results = answers(done.stdout)
    assert done.returncode == 1
    assert [answer["status"] for answer in results] == [422, 201, 201, 422]
    assert all(set(answer) == {"key", "status", "problem"} for answer in (results[0], results[3]))
    assert results[3]["problem"]["type"] == "/problems/command-unknown"
    assert [results[0]["problem"]["line"], results[3]["problem"]["line"]] == [1, 6]
    assert len(done.stderr.splitlines()) == 1


def test_lines_too_deep_to_parse_are_answered_and_the_others_done(settings: Settings) -> None:
    register, post = ndjson(town(people=1, posts=1)).splitlines(keepends=True)
    deep = b'{"command": "post", "as": "@person_0", "data": ' + b"[" * 20_000 + b"\n"
    done = starling("import", "-", "--data", settings.data, stdin=register + deep + post)
    assert [answer["status"] for answer in answers(done.stdout)] == [201, 422, 201]
    assert b"Traceback" not in done.stderr


def test_a_byte_order_mark_is_no_part_of_the_first_line(settings: Settings) -> None:
    lines = b"\xef\xbb\xbf" + ndjson(town(people=1, posts=1))
    done = starling("import", "-", "--data", settings.data, stdin=lines)
    assert [answer["status"] for answer in answers(done.stdout)] == [201, 201]


def test_the_last_line_needs_no_end(settings: Settings) -> None:
    lines = ndjson(town(people=1, posts=1)).rstrip(b"\n")
    assert len(answers(starling("import", "-", "--data", settings.data, stdin=lines).stdout)) == 2


def test_no_lines_are_fine(settings: Settings) -> None:
    done = starling("import", "-", "--data", settings.data)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_file_that_is_not_there_is_wrong_usage(settings: Settings) -> None:
    done = starling("import", "no.ndjson", "--data", settings.data)
    assert (done.returncode, done.stdout) == (2, b"")


async def test_it_works_while_another_process_writes(settings: Settings) -> None:
    lines = ndjson(town(people=5, posts=3000))
    with open_write_side(settings) as side:
        importing = await asyncio.create_subprocess_exec(
            STARLING, "import", "-", "--data", settings.data,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env=starling_environment(),
        )  # fmt: skip
        waiting = asyncio.create_task(importing.communicate(lines))
        mine = 0
        while not waiting.done():
            await side.handler.handle(CommandRequest(Register(f"mine_{mine}", "Mine"), 0))
            mine += 1
        out, _ = await waiting
        assert {answer["status"] for answer in answers(out)} == {201}
        assert side.log.head() == 2 * 5 + 3000 + 2 * mine
        assert len({stored.id for stored in side.log.read_all(limit=10**6)}) == side.log.head()


async def test_an_import_that_was_killed_is_simply_started_again(settings: Settings) -> None:
    lines = ndjson(town(people=5, posts=4000))
    killed = await asyncio.create_subprocess_exec(
        STARLING, "import", "-", "--data", settings.data,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=starling_environment(),
    )  # fmt: skip
    assert killed.stdin
    assert killed.stdout
    killed.stdin.write(lines)
    first = await killed.stdout.readline()
    killed.kill()
    results = [first, *(await killed.stdout.read()).splitlines(keepends=True)]
    await killed.wait()
    done = await asyncio.to_thread(starling, "import", "-", "--data", settings.data, stdin=lines)
    assert done.returncode == 0
    # What was told before the end holds, and everything is there once.
    whole = [line for line in results if line.endswith(b"\n")]
    assert done.stdout.splitlines(keepends=True)[: len(whole)] == whole
    with log_of(settings) as log:
        assert log.head() == 2 * 5 + 4000


def test_who_has_a_password_can_sign_in_and_the_log_does_not_know_it(settings: Settings) -> None:
    line = town(people=1, posts=0)[0]
    line["data"] |= {"email": "one@example.org", "password": "a long password"}
    done = starling("import", "-", "--data", settings.data, stdin=ndjson([line]))
    (answer,) = answers(done.stdout)

    async def account() -> tuple[str | None, str | None]:
        with open_write_side(settings) as side:
            found = await side.accounts.get(int(answer["id"]))
            assert found
            return found.email, found.password_hash

    email, password = asyncio.run(account())
    assert email == "one@example.org"
    assert password
    assert password.startswith("$argon2")
    for path in settings.data.glob("log.sqlite*"):
        assert b"a long password" not in path.read_bytes()
        assert b"one@example.org" not in path.read_bytes()
