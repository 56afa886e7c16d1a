"""DuckDB over the log: the copy that grows, and what questions may be asked."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from events.schema import STORED
from infra.analytics import copy
from infra.analytics.copy import up_to_date
from infra.analytics.session import NotAQuestion, Session
from infra.analytics.views import NAMES, view_of
from infra.logs.memory import MemoryLog
from streams.exports import manifest, parquet_folder
from streams.formats import parquet
from tests.unit.exports.logs import grow, log_of


def nobody(position: int, head: int) -> None:
    pass


def ask(log: MemoryLog, folder: Path, sql: str) -> list[Any]:
    session = Session(up_to_date(log, folder, nobody), folder)
    try:
        return list(session.ask(sql).rows())
    finally:
        session.close()


@pytest.fixture
def short_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "TAIL", 20)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A session over a log that is copied in part."""
    log = log_of(50)
    copy._grown(log, tmp_path / "copy", 30, nobody)
    session = Session(up_to_date(log, tmp_path / "copy", nobody), tmp_path / "copy")
    yield session
    session.close()


def test_a_short_log_is_not_copied(tmp_path: Path) -> None:
    assert ask(log_of(30), tmp_path / "copy", "SELECT count(*) FROM events") == [(30,)]
    assert not (tmp_path / "copy").exists()


@pytest.mark.usefixtures("short_tail")
def test_a_long_tail_is_copied_once_and_a_short_one_read_each_time(tmp_path: Path) -> None:
    log, sql = log_of(30), "SELECT count(*), count(DISTINCT position), max(position) FROM events"
    assert ask(log, tmp_path, sql) == [(30, 30, 30)]
    grow(log, 10)
    assert ask(log, tmp_path, sql) == [(40, 40, 40)]
    found = manifest.load(tmp_path / "manifest.json")
    assert found is not None
    assert found.upto == "30"
    grow(log, 15)
    assert ask(log, tmp_path, sql) == [(55, 55, 55)]
    found = manifest.load(tmp_path / "manifest.json")
    assert found is not None
    assert found.upto == "55"


@pytest.mark.usefixtures("short_tail")
@pytest.mark.parametrize("wrong", ["another log", "another schema", "no manifest", "a cut file"])
def test_a_copy_that_is_not_of_this_log_is_made_anew(wrong: str, tmp_path: Path) -> None:
    ask(log_of(30 if wrong != "another log" else 60), tmp_path, "SELECT 1")
    path = tmp_path / "manifest.json"
    if wrong == "another schema":
        path.write_text(path.read_text().replace('"schema": 1', '"schema": 0'))
    elif wrong == "no manifest":
        path.write_text("{")
    elif wrong == "a cut file":
        next(tmp_path.rglob("*.parquet")).write_bytes(b"PAR1")
    assert ask(log_of(30), tmp_path, "SELECT count(*) FROM events") == [(30,)]


@pytest.mark.usefixtures("short_tail")
def test_a_copy_broken_off_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "CHUNK", 500)
    monkeypatch.setattr(parquet_folder, "COMMIT", 1000)
    log = log_of(2200)

    class Broken(Exception):
        pass

    def told(position: int, head: int) -> None:
        if position == 2000:
            raise Broken

    with pytest.raises(Broken):
        up_to_date(log, tmp_path, told)
    assert ask(log, tmp_path, "SELECT count(*), max(position) FROM events") == [(2200, 2200)]


def test_there_is_a_view_for_each_type_of_event_and_for_the_present(session: Session) -> None:
    for view in (*NAMES, *(view_of(name) for name, _ in STORED.values())):
        assert session.ask(f"SELECT * FROM {view}").columns
    types = session.ask("SELECT type, count(*) FROM events GROUP BY type").rows()
    for name, count in types:
        [(found,)] = session.ask(f"SELECT count(*) FROM {view_of(name)}").rows()
        assert found == count


def test_a_question_is_answered_as_duckdb_does(session: Session) -> None:
    answer = session.ask("SELECT text, hashtags, time FROM post_created ORDER BY position LIMIT 1")
    assert answer.columns == ["text", "hashtags", "time"]
    [(text, hashtags, time)] = answer.rows()
    assert text.endswith("über ☃")
    assert hashtags == ["owls"]
    assert time.isoformat() == "2023-11-14T23:13:20"


@pytest.mark.parametrize(
    "sql",
    [
        "FROM likes", "WITH a AS (SELECT 1) FROM a", "VALUES (1)", "SUMMARIZE events",
        "SHOW TABLES", "DESCRIBE events", "EXPLAIN FROM posts",
        "EXPLAIN ANALYZE SELECT 1", "SELECT 1;",
    ],
)  # fmt: skip
def test_whatever_only_asks_is_a_question(sql: str, session: Session) -> None:
    assert session.ask(sql).columns


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
    sql: str, session: Session, tmp_path: Path
) -> None:
    file, out = tmp_path / "diary.csv", tmp_path / "out"
    file.write_text("dear,diary\n")
    with pytest.raises(NotAQuestion):
        list(session.ask(sql.format(out=out, file=file, folder=tmp_path)).rows())
    assert not out.exists()
    [(count,)] = session.ask("SELECT count(*) FROM events").rows()
    assert count == 50


def test_events_appended_meanwhile_are_in_the_next_answer(tmp_path: Path) -> None:
    log = log_of(10)
    assert ask(log, tmp_path, "SELECT max(position) FROM events") == [(10,)]
    grow(log, 3)
    assert ask(log, tmp_path, "SELECT max(position) FROM events") == [(13,)]


def test_data_is_json_for_whatever_has_no_column(session: Session) -> None:
    [(data,)] = session.ask("SELECT data FROM events WHERE type = 'user-followed' LIMIT 1").rows()
    assert json.loads(data)["blocks"] == 0
