"""DuckDB over the log: the copy that grows, and what questions may be asked."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from events.event_types import EVENT_TYPES
from infra.duckdb import parquet_copy
from infra.duckdb.parquet_copy import refresh_copy
from infra.duckdb.query_session import InvalidQuery, QuerySession, event_view_name
from infra.in_memory.event_log import MemoryLog
from streams.export import manifest, parquet_export, parquet_format
from tests.support.export_logs import grow_log, sample_log

VIEW_NAMES = ("events", "users", "posts", "likes", "retweets", "follows")
"""The views that the guide begins with; there is one for each type of event besides."""


def no_progress(position: int, head: int) -> None:
    pass


def ask(log: MemoryLog, folder: Path, sql: str) -> list[Any]:
    session = QuerySession(refresh_copy(log, folder, no_progress), folder)
    try:
        return list(session.execute_query(sql).fetch_rows())
    finally:
        session.close()


def test_clicks_are_a_table_of_their_own_and_empty_without_any(tmp_path: Path) -> None:
    rows = refresh_copy(MemoryLog(), tmp_path, no_progress)
    clicks: list[list[tuple[Any, ...]]] = [
        [(1, 0, 1, -3, None, 5, None, "dwell", 70, "a.org")],
        [(2, 9, 9, 4, 7, None, "/", "view", None, None)],
    ]
    columns = "id, time::VARCHAR, session, user, post, page, kind, dwell_ms"
    question = f"SELECT {columns} FROM clicks ORDER BY id"
    for given, answer in (
        ([], []),
        (
            clicks,
            [
                (1, "1970-01-01 00:00:00+00", -3, None, 5, None, "dwell", 70),
                (2, "1970-01-01 00:00:00.009+00", 4, 7, None, "/", "view", None),
            ],
        ),
    ):
        session = QuerySession(rows, tmp_path, clicks=given)
        with closing(session):
            assert list(session.execute_query(question).fetch_rows()) == answer


@pytest.fixture
def short_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_copy, "MAX_TAIL_EVENTS", 20)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[QuerySession]:
    """A session over a log that is copied in part."""
    log = sample_log(50)
    parquet_copy._extend_copy(log, tmp_path / "copy", 30, no_progress)
    session = QuerySession(refresh_copy(log, tmp_path / "copy", no_progress), tmp_path / "copy")
    yield session
    session.close()


def test_a_short_log_is_not_copied(tmp_path: Path) -> None:
    assert ask(sample_log(30), tmp_path / "copy", "SELECT count(*) FROM events") == [(30,)]
    assert not (tmp_path / "copy").exists()


@pytest.mark.usefixtures("short_tail")
def test_a_long_tail_is_copied_once_and_a_short_one_read_each_time(tmp_path: Path) -> None:
    log, sql = (
        sample_log(30),
        "SELECT count(*), count(DISTINCT position), max(position) FROM events",
    )
    assert ask(log, tmp_path, sql) == [(30, 30, 30)]
    grow_log(log, 10)
    assert ask(log, tmp_path, sql) == [(40, 40, 40)]
    found = manifest.load(tmp_path / "_manifest.json")
    assert found is not None
    assert found.upto == "30"
    grow_log(log, 15)
    assert ask(log, tmp_path, sql) == [(55, 55, 55)]
    found = manifest.load(tmp_path / "_manifest.json")
    assert found is not None
    assert found.upto == "55"


@pytest.mark.usefixtures("short_tail")
@pytest.mark.parametrize("wrong", ["another log", "another schema", "no manifest", "a cut file"])
def test_a_copy_of_another_log_is_replaced(wrong: str, tmp_path: Path) -> None:
    ask(sample_log(30 if wrong != "another log" else 60), tmp_path, "SELECT 1")
    path = tmp_path / "_manifest.json"
    if wrong == "another schema":
        path.write_text(path.read_text().replace('"schema": 1', '"schema": 0'))
    elif wrong == "no manifest":
        path.write_text("{")
    elif wrong == "a cut file":
        next(tmp_path.rglob("*.parquet")).write_bytes(b"PAR1")
    assert ask(sample_log(30), tmp_path, "SELECT count(*) FROM events") == [(30,)]


@pytest.mark.usefixtures("short_tail")
def test_an_interrupted_copy_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_format, "ROW_GROUP_EVENTS", 500)
    monkeypatch.setattr(parquet_export, "COMMIT_EVENTS", 1000)
    log = sample_log(2200)

    class Broken(Exception):
        pass

    def report_progress(position: int, head: int) -> None:
        if position == 2000:
            raise Broken

    with pytest.raises(Broken):
        refresh_copy(log, tmp_path, report_progress)
    assert ask(log, tmp_path, "SELECT count(*), max(position) FROM events") == [(2200, 2200)]


def test_there_is_a_view_for_each_type_of_event_and_for_the_present(session: QuerySession) -> None:
    for view in (*VIEW_NAMES, *(event_view_name(name) for name, _ in EVENT_TYPES.values())):
        assert session.execute_query(f"SELECT * FROM {view}").columns
    types = session.execute_query("SELECT type, count(*) FROM events GROUP BY type").fetch_rows()
    for name, count in types:
        [(found,)] = session.execute_query(
            f"SELECT count(*) FROM {event_view_name(name)}"
        ).fetch_rows()
        assert found == count


def test_a_question_is_answered_as_duckdb_does(session: QuerySession) -> None:
    answer = session.execute_query(
        "SELECT text, hashtags, time FROM post_created ORDER BY position LIMIT 1"
    )
    assert answer.columns == ["text", "hashtags", "time"]
    [(text, hashtags, time)] = answer.fetch_rows()
    assert text.endswith("über ☃")
    assert hashtags == ["owls"]
    assert time.isoformat() == "2023-11-14T23:13:20+00:00"


def test_times_have_the_same_type_in_sql_and_in_parquet(session: QuerySession) -> None:
    assert parquet_format.PARQUET_SCHEMA.field("time").type.tz == "UTC"
    for view, column in (("events", "time"), ("posts", "created"), ("likes", "time")):
        described = session.execute_query(f"DESCRIBE SELECT {column} FROM {view}").fetch_rows()
        assert next(described)[1] == "TIMESTAMP WITH TIME ZONE"


def test_a_time_can_be_asked_for_as_the_clock_of_a_place(session: QuerySession) -> None:
    [(utc, day, berlin)] = session.execute_query(
        "SELECT time, time::DATE, (time AT TIME ZONE 'Europe/Berlin') FROM post_created "
        "ORDER BY position LIMIT 1"
    ).fetch_rows()
    assert utc.isoformat() == "2023-11-14T23:13:20+00:00"
    assert day.isoformat() == "2023-11-14"
    assert berlin.isoformat() == "2023-11-15T00:13:20"


@pytest.mark.parametrize(
    "sql",
    [
        "FROM likes", "WITH a AS (SELECT 1) FROM a", "VALUES (1)", "SUMMARIZE events",
        "SHOW TABLES", "DESCRIBE events", "EXPLAIN FROM posts",
        "EXPLAIN ANALYZE SELECT 1", "SELECT 1;",
    ],
)  # fmt: skip
def test_a_statement_that_only_reads_is_a_query(sql: str, session: QuerySession) -> None:
    assert session.execute_query(sql).columns


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{out}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'",
        "ATTACH '{out}' AS other",
        "CREATE TABLE mine AS SELECT 1",
        "INSERT INTO events SELECT * FROM events",
        "DROP VIEW events",
        "EXPORT DATABASE '{out}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA threads = 1",
        "SELECT 1; DROP VIEW events",
        "SELECT 1; SELECT 2",
        "",
        "SELEC",
        "SELECT nothing FROM events",
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_parquet('{folder}/*.parquet')",
    ],
)
def test_what_is_no_question_or_wants_other_files_is_refused(
    sql: str, session: QuerySession, tmp_path: Path
) -> None:
    file, out = tmp_path / "diary.csv", tmp_path / "out"
    file.write_text("dear,diary\n")
    with pytest.raises(InvalidQuery):
        list(session.execute_query(sql.format(out=out, file=file, folder=tmp_path)).fetch_rows())
    assert not out.exists()
    [(count,)] = session.execute_query("SELECT count(*) FROM events").fetch_rows()
    assert count == 50


def test_events_appended_meanwhile_are_in_the_next_answer(tmp_path: Path) -> None:
    log = sample_log(10)
    assert ask(log, tmp_path, "SELECT max(position) FROM events") == [(10,)]
    grow_log(log, 3)
    assert ask(log, tmp_path, "SELECT max(position) FROM events") == [(13,)]


def test_data_is_json_for_whatever_has_no_column(session: QuerySession) -> None:
    [(data,)] = session.execute_query(
        "SELECT data FROM events WHERE type = 'user-followed' LIMIT 1"
    ).fetch_rows()
    assert json.loads(data)["blocks"] == 0
