"""DuckDB with the views of `starling sql`: events of each type, and what they come to as of now.

The database is in memory and ends with the process. It may read the copy of the log and no other
file, write none (but for what doesn't fit into memory, beside the copy), and reach no network; and
it runs only statements that read.

All times are TIMESTAMPTZ, as in Parquet, in a session whose zone is UTC; ids are BIGINT. A view of
the present follows the same rules as the read models: a deleted account takes its posts, likes,
retweets and follows with it, a deleted post those given to it, and a block ends follows
(`docs/adr/0006`).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, get_type_hints

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType

from events.event_types import EVENT_TYPES, ID_FIELDS
from events.schema import Event, Medium
from events.sealed_text import OpenText, as_written, open_json
from infra.duckdb.parquet_copy import LogRows
from streams.export import parquet_format
from streams.export.parquet_format import ID_COLUMNS, TEXT_COLUMNS

_FETCH_SIZE: Final = 10_000
_EXPLAIN: Final = re.compile(r"\s*EXPLAIN(\s+ANALYZE)?(\s*\([^)]*\))?", re.IGNORECASE)


_SHARED_COLUMNS: Final = frozenset((*ID_COLUMNS, *TEXT_COLUMNS))
_ENVELOPE_COLUMNS: Final = "position, id, time, actor"

_OPENED_COLUMNS: Final = """
    CASE WHEN starts_with(text, 'sealed.') THEN open_text(text) ELSE text END AS text,
    CASE WHEN contains(data, '"sealed.') THEN open_json(data) ELSE data END AS data
"""
"""The columns that may hold sealed texts. No other row is worth a call of Python."""

_CURRENT_STATE_VIEWS: Final = {
    "users": """
        SELECT user, handle, coalesce(p.name, r.name) AS name, coalesce(p.bio, r.bio) AS bio,
               r.time AS created
        FROM user_registered r
        LEFT JOIN (SELECT user, max_by(name, position) AS name, max_by(bio, position) AS bio
                   FROM profile_changed GROUP BY user) p USING (user)
        ANTI JOIN user_deleted USING (user)
    """,
    "living_posts": """
        SELECT post, author, reply_to
        FROM post_created
        ANTI JOIN post_deleted USING (post)
        ANTI JOIN post_removed USING (post)
        SEMI JOIN users ON users.user = post_created.author
    """,
    "likes": """
        SELECT post, user, max_by(author, position) AS author, max_by(id, position) AS id,
               max_by(time, position) AS time
        FROM events
        SEMI JOIN living_posts USING (post)
        SEMI JOIN users USING (user)
        WHERE category = 'like'
        GROUP BY post, user
        HAVING max_by(type, position) = 'post-liked'
    """,
    "retweets": """
        SELECT post, user, max_by(author, position) AS author, max_by(id, position) AS id,
               max_by(time, position) AS time
        FROM events
        SEMI JOIN living_posts USING (post)
        SEMI JOIN users USING (user)
        WHERE category = 'retweet'
        GROUP BY post, user
        HAVING max_by(type, position) = 'post-retweeted'
    """,
    "follows": """
        SELECT followee, follower, f.id, f.time
        FROM (SELECT followee, follower, max_by(type, position) AS last,
                     max_by(id, position) AS id, max_by(time, position) AS time,
                     max_by(TRY_CAST(data ->> 'blocks' AS BIGINT), position) AS blocks
              FROM events WHERE category = 'follow' GROUP BY followee, follower) f
        LEFT JOIN (SELECT least(blocker, blocked) AS one, greatest(blocker, blocked) AS other,
                          count(*) AS blocks
                   FROM user_blocked GROUP BY ALL) b
          ON b.one = least(followee, follower) AND b.other = greatest(followee, follower)
        SEMI JOIN users u ON u.user = followee
        SEMI JOIN users v ON v.user = follower
        WHERE last = 'user-followed' AND coalesce(f.blocks, 0) = coalesce(b.blocks, 0)
    """,
    "posts": """
        SELECT c.post, c.author, users.handle, c.time AS created, c.reply_to,
               coalesce(e.text, c.text) AS text,
               coalesce(e.hashtags, c.hashtags) AS hashtags,
               coalesce(e.mentions, c.mentions) AS mentions,
               c.media, e.edited, coalesce(e.sensitive, c.sensitive, false) AS sensitive,
               coalesce(e.spoiler_text, c.spoiler_text, '') AS spoiler_text,
               coalesce(e.language, c.language, '') AS language,
               coalesce(l.n, 0) AS likes, coalesce(r.n, 0) AS retweets,
               coalesce(a.n, 0) AS comments
        FROM post_created c
        SEMI JOIN living_posts USING (post)
        JOIN users ON users.user = c.author
        LEFT JOIN (SELECT post, max_by(text, position) AS text,
                          max_by(hashtags, position) AS hashtags,
                          max_by(mentions, position) AS mentions, max(time) AS edited,
                          max_by(sensitive, position) AS sensitive,
                          max_by(spoiler_text, position) AS spoiler_text,
                          max_by(language, position) AS language
                   FROM post_edited GROUP BY post) e USING (post)
        LEFT JOIN (SELECT post, count(*) AS n FROM likes GROUP BY post) l USING (post)
        LEFT JOIN (SELECT post, count(*) AS n FROM retweets GROUP BY post) r USING (post)
        LEFT JOIN (SELECT reply_to AS post, count(*) AS n FROM living_posts
                   WHERE reply_to IS NOT NULL GROUP BY reply_to) a USING (post)
    """,
}


CLICK_SCHEMA: Final = pa.schema(
    [
        ("id", pa.int64()),
        ("time", pa.timestamp("ms", "UTC")),
        ("received", pa.timestamp("ms", "UTC")),
        ("session", pa.int64()),
        ("user", pa.int64()),
        ("post", pa.int64()),
        ("page", pa.string()),
        ("kind", pa.string()),
        ("dwell_ms", pa.int64()),
        ("referrer", pa.string()),
    ]
)


class InvalidQuery(Exception):
    """The SQL can't be run; the message says why."""

    def __init__(self, message: str, cause: duckdb.Error | None = None) -> None:
        super().__init__(message)
        of_question = isinstance(
            cause, duckdb.ProgrammingError | duckdb.BinderException | duckdb.CatalogException
        )
        # A file whose columns are damaged fails as a wrong question does, but is named.
        self.may_be_of_files = isinstance(cause, duckdb.Error) and (
            not of_question or ".parquet" in message
        )
        """Whether damaged files of the copy could be the cause, rather than the question."""


class QueryResult:
    """The columns of a result, and its rows as Python values, fetched as they are iterated."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        self.columns: list[str] = [column[0] for column in cursor.description or ()]

    def fetch_rows(self) -> Iterator[Sequence[Any]]:
        """All rows, once. Raises `InvalidQuery` where one can't be computed."""
        try:
            while rows := self._cursor.fetchmany(_FETCH_SIZE):
                yield from rows
        except duckdb.Error as error:
            raise InvalidQuery(str(error), error) from None


class QuerySession:
    """A DuckDB connection over some rows of the log. `close` it."""

    def __init__(
        self,
        rows: LogRows,
        folder: Path,
        open_text: OpenText = as_written,
        clicks: Iterable[Sequence[tuple[Any, ...]]] = (),
    ) -> None:
        """`folder` is where the copy lies, with its texts sealed; `open_text` opens them. `clicks`
        are rows of `CLICK_SCHEMA`. Raises `InvalidQuery` where the copy can't be read."""
        self._connection = duckdb.connect()
        try:
            _add_text_functions(self._connection, open_text)
            self._connection.register("clicks", _click_table(clicks))
            self._create_views(rows, folder)
        except duckdb.Error as error:
            self._connection.close()
            raise InvalidQuery(str(error), error) from None

    def _create_views(self, rows: LogRows, folder: Path) -> None:
        run = self._connection.execute
        run("SET TimeZone = 'UTC'")
        run(f"SET temp_directory = {_quote_text(str(folder / '.spill'))}")
        if rows.files:
            run(f"SET allowed_paths = [{_quote_list(rows.files)}]")
        run("SET enable_external_access = false")
        self._connection.register("behind_the_copy", rows.tail)
        for statement in create_view_statements(_all_events_sql(rows.files)):
            run(statement)
        run("SET lock_configuration = true")

    def execute_query(self, sql: str) -> QueryResult:
        """Run one query. Raises `InvalidQuery`."""
        try:
            return QueryResult(self._connection.execute(self._parse_select(sql)))
        except duckdb.Error as error:
            raise InvalidQuery(str(error), error) from None

    def close(self) -> None:
        """End the database."""
        self._connection.close()

    def _parse_select(self, sql: str) -> duckdb.Statement:
        found = self._connection.extract_statements(sql)
        if len(found) != 1:
            raise InvalidQuery(f"one question at a time: there are {len(found)} statements here")
        [statement] = found
        kind = statement.type
        if kind == duckdb.StatementType.EXPLAIN:
            explained = self._connection.extract_statements(_EXPLAIN.sub("", sql, count=1))
            kind = explained[0].type if len(explained) == 1 else kind
        if kind != duckdb.StatementType.SELECT:
            raise InvalidQuery(
                f"only questions are taken (SELECT, FROM, WITH, SUMMARIZE, EXPLAIN), and this is "
                f"{statement.type.name}: --csv and --json write an answer to stdout, and "
                "`starling replay` exports events"
            )
        return statement


def _add_text_functions(connection: duckdb.DuckDBPyConnection, open_text: OpenText) -> None:
    """The functions that `_OPENED_COLUMNS` calls. They see the rows that an answer needs alone."""

    def open_texts(column: Any) -> Any:
        return pa.array([text and open_text(text) for text in column.to_pylist()], pa.string())

    def open_objects(column: Any) -> Any:
        found = column.cast(pa.binary()).to_pylist()
        return pa.array([text and open_json(text, open_text) for text in found]).cast(pa.string())

    for name, function in (("open_text", open_texts), ("open_json", open_objects)):
        connection.create_function(name, function, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW)


def _click_table(clicks: Iterable[Sequence[tuple[Any, ...]]]) -> Any:
    batches = [
        pa.record_batch(
            [
                pa.array(column, field.type)
                for column, field in zip(zip(*rows, strict=True), CLICK_SCHEMA, strict=True)
            ],
            schema=CLICK_SCHEMA,
        )
        for rows in clicks
    ]
    return pa.Table.from_batches(batches, CLICK_SCHEMA)


def _all_events_sql(files: Sequence[Path]) -> str:
    if not files:
        return "SELECT * FROM behind_the_copy"
    columns = ", ".join(parquet_format.PARQUET_SCHEMA.names)
    return (
        f"SELECT {columns} FROM read_parquet([{_quote_list(files)}], hive_partitioning = false) "
        f"UNION ALL SELECT {columns} FROM behind_the_copy"
    )


def _quote_list(files: Sequence[Path]) -> str:
    return ", ".join(_quote_text(str(file)) for file in files)


def _quote_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def create_view_statements(events: str) -> Iterator[str]:
    """SQL that makes every view, given a query for the rows of `streams.export.parquet_format`."""
    yield f"CREATE VIEW events AS SELECT * REPLACE ({_OPENED_COLUMNS}) FROM ({events})"
    for kind, (name, _) in EVENT_TYPES.items():
        yield f"CREATE VIEW {event_view_name(name)} AS {_event_type_sql(kind, name)}"
    for view, query in _CURRENT_STATE_VIEWS.items():
        yield f"CREATE VIEW {view} AS {query}"


def event_view_name(name: str) -> str:
    """The view of the events with a stored name: `post_liked` of `post-liked`."""
    return name.replace("-", "_")


def _event_type_sql(kind: type[Event], name: str) -> str:
    columns = [_column_sql(field, type) for field, type in get_type_hints(kind).items()]
    return f"SELECT {_ENVELOPE_COLUMNS}, {', '.join(columns)} FROM events WHERE type = '{name}'"


def _column_sql(field: str, type: Any) -> str:
    if field in _SHARED_COLUMNS:
        return field
    if type == tuple[str, ...]:
        return f"""from_json(data -> '{field}', '["VARCHAR"]') AS {field}"""
    if type == tuple[Medium, ...]:
        # Their ids. Posts of before images were kept have these alone.
        ids, old_ids = (f"json_extract_string(data, '$.{field}[*]{key}')" for key in (".id", ""))
        return f"coalesce(nullif({ids}, []), {old_ids}) AS {field}"
    if field in ID_FIELDS or type is int:
        return f"TRY_CAST(data ->> '{field}' AS BIGINT) AS {field}"
    if type is bool:
        return f"TRY_CAST(data ->> '{field}' AS BOOLEAN) AS {field}"
    return f"data ->> '{field}' AS {field}"
