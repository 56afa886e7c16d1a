"""The LDBC update stream, imported, exported to Parquet, and counted by DuckDB and by Polars."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from infra.log_of_record import open_log_for_questions
from infra.settings import Settings
from tests.real import ldbc
from tests.real.dataset_counts import LdbcCounts, ldbc_counts
from tests.support.exported_figures import compare_figures
from tests.support.requirements import skip_or_fail
from tests.support.starling_program import starling

pytestmark = pytest.mark.timeout(300)

Query = Callable[[str], list[Any]]
"""Answers SQL about the table `events`, which has the rows of the export."""


@pytest.fixture(scope="module")
def stream(shared_data: Path) -> Path:
    folder = shared_data / "ldbc-update-stream"
    if not folder.is_dir():
        skip_or_fail(f"the data set {folder}")
    return folder


@pytest.fixture(scope="module")
def data(stream: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the imported stream."""
    data = tmp_path_factory.mktemp("ldbc") / "data"
    lines = b"".join(json.dumps(line).encode() + b"\n" for line in ldbc.commands(stream))
    assert starling("import", "-", "--data", data, stdin=lines).returncode == 0
    return data


@pytest.fixture(scope="module")
def export(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "parquet"
    done = starling("replay", "--format", "parquet", "-o", out, "--data", data)
    assert (done.returncode, done.stdout) == (0, b"")
    return out


@contextmanager
def by_duckdb(export: Path) -> Iterator[Query]:
    files = f"read_parquet('{export}/*/*.parquet', hive_partitioning = true)"
    with duckdb.connect() as database:
        database.execute(f"CREATE VIEW events AS SELECT * FROM {files}")
        yield lambda sql: database.execute(sql).fetchall()


@contextmanager
def by_polars(export: Path) -> Iterator[Query]:
    frame = pl.scan_parquet(export / "*" / "*.parquet", hive_partitioning=True)
    context = pl.SQLContext(events=frame)
    yield lambda sql: context.execute(sql, eager=True).rows()


@pytest.fixture(params=[by_duckdb, by_polars], ids=["duckdb", "polars"])
def query(request: pytest.FixtureRequest, export: Path) -> Iterator[Query]:
    with request.param(export) as made:
        yield made


@pytest.fixture(scope="module")
def ldbc_totals(stream: Path) -> LdbcCounts:
    return ldbc_counts(stream)


def number(query: Query, sql: str) -> int:
    [(count,)] = query(sql)
    return int(count)


def test_the_export_has_what_the_source_files_have(query: Query, ldbc_totals: LdbcCounts) -> None:
    types = dict(query("SELECT CAST(type AS VARCHAR), COUNT(*) FROM events GROUP BY type"))
    assert types == {
        "handle-claimed": ldbc_totals.people + 1,
        "user-registered": ldbc_totals.people + 1,
        "post-created": ldbc_totals.posts + ldbc_totals.unlisted_messages + ldbc_totals.comments,
        "post-liked": ldbc_totals.likes,
        "user-followed": 2 * ldbc_totals.friendships,
    }
    comments = "SELECT COUNT(*) FROM events WHERE type = 'post-created' AND reply_to IS NOT NULL"
    assert number(query, comments) == ldbc_totals.comments


def test_each_has_as_many_likes_comments_posts_and_friends(
    query: Query, ldbc_totals: LdbcCounts
) -> None:
    for column, where, expected in (
        ("post", "type = 'post-liked'", ldbc_totals.likes_of),
        ("reply_to", "type = 'post-created' AND reply_to IS NOT NULL", ldbc_totals.comments_on),
        ("followee", "type = 'user-followed'", ldbc_totals.friends_of),
        ("follower", "type = 'user-followed'", ldbc_totals.friends_of),
    ):
        found = query(f"SELECT {column}, COUNT(*) FROM events WHERE {where} GROUP BY {column}")
        assert Counter(count for _, count in found) == Counter(expected.values())
    wrote = query(
        "SELECT handle, n FROM (SELECT author, COUNT(*) AS n FROM events WHERE type = "
        "'post-created' GROUP BY author) AS p JOIN (SELECT actor, handle FROM events WHERE type = "
        "'user-registered') AS u ON p.author = u.actor"
    )
    known = {ldbc.handle(person): count for person, count in ldbc_totals.posts_by.items()}
    assert {handle: n for handle, n in wrote if handle != ldbc.AUTHOR_BEFORE} == known


def test_every_event_is_there_once_and_in_the_folder_of_its_day(query: Query, export: Path) -> None:
    [manifest] = [json.loads(path.read_bytes()) for path in export.glob("_manifest.json")]
    [(rows, positions, ids)] = query(
        "SELECT COUNT(*), COUNT(DISTINCT position), COUNT(DISTINCT id) FROM events"
    )
    assert rows == positions == ids == manifest["rows"]
    assert number(query, "SELECT MAX(position) FROM events") == int(manifest["last"])
    wrong = "SELECT COUNT(*) FROM events WHERE CAST(time AS DATE) <> CAST(date AS DATE)"
    assert number(query, wrong) == 0


def test_sql_over_the_log_counts_the_same(data: Path, ldbc_totals: LdbcCounts) -> None:
    sql = "SELECT (SELECT count(*) FROM posts) AS posts, (SELECT count(*) FROM likes) AS likes, "
    sql += (
        "(SELECT count(*) FROM follows) AS follows, (SELECT sum(comments) FROM posts) AS comments"
    )
    done = starling("sql", sql, "--json", "--data", data)
    assert json.loads(done.stdout) == [
        {
            "posts": ldbc_totals.posts + ldbc_totals.unlisted_messages + ldbc_totals.comments,
            "likes": ldbc_totals.likes,
            "follows": 2 * ldbc_totals.friendships,
            "comments": ldbc_totals.comments,
        }
    ]


async def test_every_figure_of_analytics_is_that_of_duckdb(data: Path, tmp_path: Path) -> None:
    with open_log_for_questions(Settings(data=data)) as log:
        await compare_figures(log, tmp_path)
