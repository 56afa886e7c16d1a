"""`starling sql` as a process."""

import asyncio
import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.sqlite.event_log import SqliteLog
from tests.support import big_logs
from tests.support.log_adapters import FIRST_ID, post_append
from tests.support.starling_program import starling, starling_on_terminal

POSTS = "SELECT post, text, hashtags, time FROM post_created ORDER BY position"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return big_logs.create_post_log(tmp_path_factory.mktemp("data"), 3)


def test_an_answer_is_a_table_for_people(data: Path) -> None:
    done = starling("sql", POSTS, "--data", data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [b"Nr. 2" in line for line in done.stdout.splitlines()].count(True) == 1


def test_a_row_too_wide_for_the_terminal_is_shown_one_field_a_line(data: Path) -> None:
    listed = starling("sql", "SELECT id FROM events LIMIT 3", "--json", "--data", data)
    ids = [row["id"] for row in json.loads(listed.stdout)]
    status, shown = starling_on_terminal("sql", "FROM events LIMIT 3", "--data", data, columns=80)
    lines = shown.splitlines()
    assert status == 0
    assert [line for line in lines if line.startswith("id ")] == [
        f"id            {id}" for id in ids
    ]
    assert "type          post-created" in lines
    asked = starling("sql", "FROM events LIMIT 3", "--lines", "--data", data)
    assert asked.stdout.decode().strip() in shown


def test_long_texts_are_folded_where_the_other_columns_fit_the_terminal(data: Path) -> None:
    question = "SELECT post, repeat('word ', 30) AS text, 7 AS likes FROM post_created LIMIT 1"
    status, shown = starling_on_terminal("sql", question, "--data", data, columns=70)
    assert status == 0
    assert [line.split() for line in shown.splitlines() if "likes" in line] == [
        ["post", "text", "likes"]
    ]
    assert str(FIRST_ID) in shown
    assert 3 <= len([line for line in shown.splitlines() if "word word" in line]) <= 6


def test_a_wide_row_is_one_line_in_a_pipe(data: Path) -> None:
    done = starling("sql", "FROM events LIMIT 1", "--data", data)
    [row] = [line for line in done.stdout.decode().splitlines() if str(FIRST_ID) in line]
    assert '"text":"Nr. 0"' in row


def test_what_users_wrote_is_shown_as_they_wrote_it(data: Path) -> None:
    written = "[b]bold[/b] [/nothing] :smile: \u96ea"
    for form in ((), ("--lines",)):
        done = starling("sql", f"SELECT '{written}' AS text", *form, "--data", data)
        assert done.returncode == 0
        assert written in done.stdout.decode()


def test_an_answer_is_json_for_programs_with_ids_as_strings(data: Path) -> None:
    done = starling("sql", POSTS, "--json", "--data", data)
    rows = json.loads(done.stdout)
    assert rows[0] == {
        "post": str(FIRST_ID), "text": "Nr. 0", "hashtags": [], "time": "2020-09-13T12:26:40.000Z",
    }  # fmt: skip
    nothing = starling("sql", f"SELECT * FROM ({POSTS}) WHERE false", "--json", "--data", data)
    assert json.loads(nothing.stdout) == []


def test_only_times_with_a_zone_are_marked_as_utc(data: Path) -> None:
    question = "SELECT time, time AT TIME ZONE 'Europe/Berlin' AS there FROM events LIMIT 1"
    [row] = json.loads(starling("sql", question, "--json", "--data", data).stdout)
    assert row == {"time": "2020-09-13T12:26:40.000Z", "there": "2020-09-13T14:26:40.000"}


def test_an_answer_is_csv_for_spreadsheets(data: Path) -> None:
    done = starling("sql", "-", "--csv", "--data", data, stdin=POSTS.encode())
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert [row["text"] for row in rows] == ["Nr. 0", "Nr. 1", "Nr. 2"]
    assert (rows[0]["hashtags"], rows[0]["post"]) == ("[]", str(FIRST_ID))


def test_wrong_sql_and_no_log_are_one_error_each(data: Path, tmp_path: Path) -> None:
    wrong = starling("sql", "SELECT nothing FROM posts", "--data", data)
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert b"nothing" in wrong.stderr
    absent = starling("sql", "SELECT 1", "--data", tmp_path)
    assert (absent.returncode, absent.stdout) == (1, b"")


def test_questions_are_answered_while_the_log_is_written(tmp_path: Path) -> None:
    data = big_logs.create_post_log(tmp_path, 2)

    async def run() -> None:
        log = SqliteLog(Settings(data=data).log_path)
        for number in range(1, 4):
            await log.append(post_append(number))
            asking = asyncio.to_thread(
                starling, "sql", "SELECT count(*) AS n FROM events", "--json", "--data", data
            )
            writing = asyncio.gather(
                *(log.append(post_append(number * 100 + n)) for n in range(50))
            )
            done = await asking
            await writing
            assert json.loads(done.stdout)[0]["n"] >= 2 + number
        log.close()

    asyncio.run(run())


def test_an_event_that_does_not_decode_ends_neither_sql_nor_exports(tmp_path: Path) -> None:
    data = big_logs.create_post_log(tmp_path / "data", 5)
    with closing(sqlite3.connect(Settings(data=data).log_path)) as damaged:
        for (trigger,) in damaged.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            damaged.execute(f'DROP TRIGGER "{trigger}"')
        damaged.execute("UPDATE events SET data = '{' WHERE position = 2")
        damaged.commit()
    question = "SELECT count(*) AS n FROM post_created"
    asked = starling("sql", question, "--json", "--data", data)
    exported = starling("replay", "--format", "parquet", "-o", tmp_path / "parquet", "--data", data)
    piped = starling("replay", "--format", "parquet", "--data", data)
    assert json.loads(asked.stdout) == [{"n": 4}]
    for done in (asked, exported, piped):
        assert done.returncode == 0
        assert b"1 event doesn't decode" in done.stderr
        assert b"(position 2)" in done.stderr
