"""Data folders of earlier versions open as they were; kills and races leave nothing half done."""

import multiprocessing
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from api.accounts.account_store import AccountRecord
from api.accounts.errors import AccountsUnavailable
from events.log import LogUnavailable
from infra.ids.machine_lease import LeaseStoreUnavailable
from infra.settings import Settings
from infra.sqlite.accounts import SqliteAccounts
from infra.sqlite.event_log import SqliteLog
from infra.sqlite.leases import SqliteLeases
from infra.sqlite.migrations import LOG_SCHEMA, FileSchema, sql_step
from infra.wiring.write_side import open_write_side
from tests.support.log_adapters import FIRST_ID, post_append

OLDEST_LOG = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE events (
  position INTEGER PRIMARY KEY,
  id INTEGER NOT NULL UNIQUE,
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  type TEXT NOT NULL,
  schema INTEGER NOT NULL,
  actor INTEGER NOT NULL,
  causation INTEGER NOT NULL,
  correlation INTEGER NOT NULL,
  data TEXT NOT NULL,
  UNIQUE (stream, version)
) STRICT;
CREATE TABLE keys (
  name TEXT PRIMARY KEY,
  fingerprint BLOB NOT NULL,
  result INTEGER NOT NULL,
  position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events BEGIN
  SELECT RAISE(ABORT, 'events.position is taken') FROM events WHERE position = NEW.position
  UNION ALL
  SELECT RAISE(ABORT, 'events.id is taken') FROM events WHERE id = NEW.id
  UNION ALL
  SELECT RAISE(ABORT, 'events.version is taken') FROM events
    WHERE stream = NEW.stream AND version = NEW.version;
END;
CREATE TRIGGER keys_are_not_replaced BEFORE INSERT ON keys BEGIN
  SELECT RAISE(ABORT, 'keys.name is taken') FROM keys WHERE name = NEW.name;
END;
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER events_are_not_removed BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are never removed'); END;
CREATE TRIGGER keys_are_not_changed BEFORE UPDATE ON keys
BEGIN SELECT RAISE(ABORT, 'keys are never changed'); END;
CREATE TRIGGER keys_are_not_removed BEFORE DELETE ON keys
BEGIN SELECT RAISE(ABORT, 'keys are never removed'); END;
INSERT INTO meta VALUES ('schema', 1);
INSERT INTO events VALUES (1, {FIRST_ID}, 'post-{FIRST_ID}', 1, 'post-created', 1, 7, 0, 7,
  '{{"post":{FIRST_ID},"author":7,"text":"first"}}');
INSERT INTO keys VALUES ('k', x'00', {FIRST_ID}, 1);
"""
"""As every version wrote it before files were numbered."""

OLDEST_ACCOUNTS = """
CREATE TABLE accounts (
    user INTEGER PRIMARY KEY,
    email TEXT,
    folded TEXT UNIQUE,
    password TEXT,
    created INTEGER NOT NULL
);
INSERT INTO accounts VALUES (7, 'Wren@x.org', 'wren@x.org', 'hash', 5);
"""

OLDEST_LEASES = """
CREATE TABLE machine_leases (
    machine  INTEGER PRIMARY KEY,
    owner    TEXT NOT NULL,
    token    INTEGER NOT NULL UNIQUE, -- of the last grant; rows stay, so the greatest only grows
    until_ms INTEGER NOT NULL         -- Unix ms: ids before it are spoken for
) STRICT;
INSERT INTO machine_leases VALUES (3, 'them', 41, 1);
"""


def write_file(path: Path, script: str, version: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(script)
        connection.execute(f"PRAGMA user_version = {version}")


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path)


@pytest.mark.parametrize(("log", "others"), [(0, 0), (1, 1)])
async def test_a_folder_of_an_earlier_version_opens_with_all_that_was_in_it(
    settings: Settings, log: int, others: int
) -> None:
    write_file(settings.log_path, OLDEST_LOG, log)
    write_file(settings.accounts_file, OLDEST_ACCOUNTS, others)
    write_file(settings.leases_file, OLDEST_LEASES, others)
    with open_write_side(settings) as side:
        (stored,) = side.log.read_all()
        assert (stored.id, stored.stream, stored.actor) == (FIRST_ID, f"post-{FIRST_ID}", 7)
        assert side.log.idempotency_result("k") is not None
        assert (await side.log.append(post_append(1))).position == 2
        assert await side.accounts.get(7) == AccountRecord(7, "Wren@x.org", "hash", 5)
        identity = side.log.identity
    assert (
        SqliteLeases(settings.leases_file).grant_lease(range(9, 10), "us", 0, 1).fencing_token > 41
    )
    with open_write_side(settings) as side:
        assert side.log.identity == identity
    assert version_of(settings.log_path) == len(LOG_SCHEMA.steps)


def test_a_migrated_file_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    tables = []
    write_file(tmp_path / "old", OLDEST_LOG, 0)
    for name in ("old", "new"):
        SqliteLog(tmp_path / name).close()
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
            tables.append({name: " ".join(sql.split()).replace("( ", "(").replace(" )", ")")
                           for name, sql in rows})  # fmt: skip
    assert tables[0] == tables[1]


@pytest.mark.parametrize("version", [8, 99])
def test_a_file_that_a_newer_program_has_used_is_refused_and_left_alone(
    settings: Settings, version: int
) -> None:
    write_file(settings.log_path, OLDEST_LOG, version)
    write_file(settings.accounts_file, OLDEST_ACCOUNTS, version)
    write_file(settings.leases_file, OLDEST_LEASES, version)
    with pytest.raises(LogUnavailable, match=f"has schema {version}, this program knows 2: a newe"):
        SqliteLog(settings.log_path)
    with pytest.raises(AccountsUnavailable, match=f"has schema {version}, this program knows 7"):
        SqliteAccounts(settings.accounts_file)
    with pytest.raises(LeaseStoreUnavailable, match=f"schema {version}, this program knows 1"):
        SqliteLeases(settings.leases_file).grant_lease(range(9), "us", 0, 1)
    assert version_of(settings.log_path) == version


def test_an_earlier_program_refuses_a_log_with_an_identity(tmp_path: Path) -> None:
    SqliteLog(tmp_path / "log").close()
    with closing(sqlite3.connect(tmp_path / "log")) as connection:
        found = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    assert found == (2,)  # it knew 1 alone


def _migrate_and_die(path: Path, taken: int, half_of_the_next: bool) -> None:
    def last(connection: sqlite3.Connection) -> None:
        if half_of_the_next:
            LOG_SCHEMA.steps[taken](connection)
        os.kill(os.getpid(), signal.SIGKILL)

    schema = FileSchema((*LOG_SCHEMA.steps[:taken], last))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        schema.migrate(connection)


@pytest.mark.parametrize("half_of_the_next", [False, True])
@pytest.mark.parametrize("taken", range(len(LOG_SCHEMA.steps)))
@pytest.mark.parametrize("old", [OLDEST_LOG, ""], ids=["an old log", "a new one"])
def test_a_kill_between_two_steps_or_within_one_leaves_nothing_half_done(
    tmp_path: Path, old: str, taken: int, half_of_the_next: bool
) -> None:
    path = tmp_path / "log.sqlite"
    write_file(path, old, 0)
    arguments = (path, taken, half_of_the_next)
    process = multiprocessing.get_context("spawn").Process(target=_migrate_and_die, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert version_of(path) == taken
    log = SqliteLog(path)
    assert len(log.read_all()) == (1 if old else 0)
    assert len(log.identity) == 32
    log.close()


def test_processes_that_open_an_old_log_at_once_agree_on_its_identity(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    write_file(path, OLDEST_LOG, 0)
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(_open_and_identify, [path] * 16, chunksize=1)
    assert len(set(found)) == 1


def _open_and_identify(path: Path) -> str:
    # Not through `SqliteLog`, which would keep the others out meanwhile.
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        LOG_SCHEMA.migrate(connection)
        return str(connection.execute("SELECT value FROM log_identity").fetchone()[0])


def test_a_connection_knows_the_tables_that_another_process_changed_meanwhile(
    tmp_path: Path,
) -> None:
    steps = (
        sql_step(("CREATE TABLE things (first INTEGER) STRICT",)),
        sql_step(("ALTER TABLE things ADD COLUMN second INTEGER",)),
    )
    with (
        closing(sqlite3.connect(tmp_path / "f", isolation_level=None)) as one,
        closing(sqlite3.connect(tmp_path / "f", isolation_level=None)) as other,
    ):
        FileSchema(steps[:1]).migrate(one)
        FileSchema(steps).migrate(other)
        FileSchema(steps).migrate(one)
        one.execute("INSERT INTO things VALUES (1, 2)")
