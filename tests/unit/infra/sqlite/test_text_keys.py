"""The file of the keys that texts are sealed under."""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from events.log import LOG_START, LogUnavailable
from infra.sqlite import migrations, text_keys
from infra.sqlite.migrations import TEXT_KEYS_SCHEMA, FileSchema
from infra.sqlite.text_keys import SqliteTextKeys, find_damaged_keys

IDENTITY = "1" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "text-keys.sqlite"


@pytest.fixture
def keys(path: Path) -> Iterator[SqliteTextKeys]:
    with closing(SqliteTextKeys(path, IDENTITY)) as opened:
        yield opened


def test_an_account_keeps_its_key(keys: SqliteTextKeys, path: Path) -> None:
    assert keys.find_account_key(7) is None
    keys.make_account_keys((7, 8))
    made = keys.find_account_key(7)
    assert made
    keys.make_account_keys((7, 9))
    with closing(SqliteTextKeys(path, IDENTITY)) as other:
        assert other.find_account_key(7) == made != other.find_account_key(8)


def test_what_was_destroyed_is_nowhere_in_the_folder(keys: SqliteTextKeys, path: Path) -> None:
    keys.make_account_keys((7, 8))
    account = keys.find_account_key(7)
    reserved = keys.reserve_text_keys()
    (number, key), (kept, kept_key) = reserved[3], reserved[4]
    assert account
    assert any(account in file.read_bytes() for file in path.parent.iterdir())
    keys.erase((7,), (number,), 11)
    for file in path.parent.iterdir():
        assert account not in file.read_bytes()
        assert key not in file.read_bytes()
    assert (keys.find_account_key(7), keys.find_text_key(number)) == (b"", b"")
    assert keys.find_text_key(kept) == kept_key
    assert keys.erased_through() == 11
    keys.make_account_keys((7,))
    assert keys.find_account_key(7) == b""


def test_another_process_stops_using_a_destroyed_key(
    keys: SqliteTextKeys, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_keys, "ERASURE_SECONDS", 0.0)
    keys.make_account_keys((7,))
    number, key = keys.reserve_text_keys()[0]
    with closing(SqliteTextKeys(path, IDENTITY)) as other:
        assert other.find_account_key(7)
        assert other.find_text_key(number) == key
        keys.erase((7,), (number,), 1)
        assert other.find_account_key(7) == b""
        assert other.find_text_key(number) == b""


def test_erasing_what_is_not_there_is_no_error(keys: SqliteTextKeys) -> None:
    keys.erase((), (10**9,), 4)
    assert keys.find_text_key(10**9) is None
    assert keys.erased_through() == 4


def test_the_file_is_for_its_owner_alone(keys: SqliteTextKeys, path: Path) -> None:
    assert path.stat().st_mode & 0o077 == 0


def test_the_keys_of_another_log_are_refused(keys: SqliteTextKeys, path: Path) -> None:
    with pytest.raises(LogUnavailable, match="another log"):
        SqliteTextKeys(path, "2" * 32)


def test_a_damaged_file_is_named(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(LogUnavailable, match=r"text-keys\.sqlite"):
        SqliteTextKeys(path, IDENTITY)


def test_a_reader_writes_nothing(keys: SqliteTextKeys, path: Path) -> None:
    keys.make_account_keys((7,))
    with closing(SqliteTextKeys(path, IDENTITY, read_only=True)) as reader:
        assert reader.find_account_key(7) == keys.find_account_key(7)
        with pytest.raises(LogUnavailable, match="readonly"):
            reader.make_account_keys((8,))
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM account_keys").fetchone() == (1,)


@pytest.mark.parametrize("table", ["account_keys", "key_blocks"])
def test_a_damaged_key_is_not_taken_for_a_destroyed_one(
    keys: SqliteTextKeys, path: Path, table: str
) -> None:
    keys.make_account_keys((7,))
    number, _ = keys.reserve_text_keys()[0]
    assert find_damaged_keys(path) is None
    column = "key" if table == "account_keys" else "keys"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"UPDATE {table} SET {column} = zeroblob(length({column}))")
        database.commit()
    assert find_damaged_keys(path) == "the sum of a key is wrong"
    with closing(SqliteTextKeys(path, IDENTITY)) as other:
        find = (
            partial(other.find_account_key, 7)
            if table == "account_keys"
            else partial(other.find_text_key, number)
        )
        with pytest.raises(LogUnavailable, match="the sum of a key is wrong"):
            find()


def test_deletions_that_an_older_program_passed_are_looked_for_again(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        older = FileSchema(TEXT_KEYS_SCHEMA.steps[:2])
        older.migrate(old)
        old.execute("UPDATE erasures SET position = 500")
        with closing(SqliteTextKeys(path, IDENTITY)) as keys:
            assert keys.erased_through() == LOG_START
            keys.erase((), (), 7)
            old.execute("UPDATE erasures SET position = 600")  # one that still runs
            assert keys.erased_through() == 7


def test_a_reader_waits_for_the_process_that_makes_the_file(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as begun:
        FileSchema(TEXT_KEYS_SCHEMA.steps[:1]).migrate(begun)
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(SqliteTextKeys, path, IDENTITY, read_only=True)
        time.sleep(0.1)
        with closing(SqliteTextKeys(path, IDENTITY)) as made, closing(reading.result()) as read:
            assert read.identity == made.identity


def test_a_reader_refuses_an_old_file_that_stays_as_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "MAKING_SECONDS", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        FileSchema(TEXT_KEYS_SCHEMA.steps[:1]).migrate(old)
    with pytest.raises(LogUnavailable, match="it has schema 1, this program"):
        SqliteTextKeys(path, IDENTITY, read_only=True)
