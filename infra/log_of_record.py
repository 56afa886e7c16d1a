"""The log of record that the settings name, and the keys of its texts.

Any process may open them; the stores arbitrate. A log in SQLite has its keys in the data folder.
One in EventStoreDB has them where accounts and leases of machine ids are: with views in SQLite in
the data folder, and with views in MongoDB there, where all machines reach them.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from events.log import EventLog, LogUnavailable
from events.sealed_text import SEALED_TYPES, OpenText, as_written, sealed_texts
from infra.encryption.text_cipher import TextCipher
from infra.settings import InvalidSetting, Settings
from infra.sqlite.event_log import SqliteLog
from infra.sqlite.text_keys import SqliteTextKeys

if TYPE_CHECKING:
    from infra.mongodb.text_keys import MongoTextKeys

TextKeys: TypeAlias = "SqliteTextKeys | MongoTextKeys"


@contextmanager
def open_log(settings: Settings) -> Iterator[EventLog]:
    """The log, made where there is none.

    Raises `LogUnavailable`, and `InvalidSetting` for an address that can't be meant.
    """
    with closing(_connect_log(settings, read_only=False)) as log:
        yield log


@contextmanager
def open_log_for_questions(settings: Settings) -> Iterator[EventLog]:
    """A log that is there, for a command that only reads: it may be a copy that can't be written.

    Raises as `open_log` does.
    """
    with closing(_connect_log(settings, read_only=not _can_be_written(settings))) as log:
        yield log


def _can_be_written(settings: Settings) -> bool:
    if settings.log != "sqlite":
        return False  # asking begins no log there
    return os.access(settings.log_path, os.W_OK) and os.access(settings.data, os.W_OK)


def _connect_log(settings: Settings, read_only: bool) -> EventLog:
    if settings.log == "sqlite":
        return SqliteLog(settings.log_path, read_only=read_only)
    from infra.eventstoredb.address import BadAddress
    from infra.eventstoredb.open_log import open_event_store_log

    try:
        return open_event_store_log(settings.log, settings.log_ids_file, read_only=read_only)
    except BadAddress as error:
        raise InvalidSetting(f"STARLING_LOG: {error}") from error


def describe_log(settings: Settings) -> str:
    """Where the log is, for people: without user and password."""
    if settings.log == "sqlite":
        return str(settings.log_path)
    from infra.eventstoredb.address import parse_address

    return str(parse_address(settings.log))


def log_is_missing(settings: Settings) -> bool:
    """Whether no process has written the log yet, as far as that can be seen from here."""
    return settings.log == "sqlite" and not settings.log_path.is_file()


@contextmanager
def open_text_keys(settings: Settings, log: EventLog) -> Iterator[TextKeys]:
    """The keys that the texts of a log are sealed under, made where there are none.

    Raises `LogUnavailable`, also where the log holds sealed texts and their keys are gone, since
    new ones would make every text of before unreadable for ever, without a word; and where the log
    goes with other keys than those of these settings.
    """
    _require_text_keys(settings, log)
    with _connect_text_keys(settings, log, read_only=False) as keys:
        if log.claim_for(keys.identity) != keys.identity:
            raise LogUnavailable(
                f"the log goes with other accounts, leases and text keys than those in "
                f"{_place_of_stores(settings)}. Several machines write one log with STARLING_VIEWS "
                "at one MongoDB; with views in SQLite, one data folder alone does"
            )
        yield keys


@contextmanager
def open_text_reader(settings: Settings, log: EventLog) -> Iterator[OpenText]:
    """What opens the texts of a log, for a command that only reads. Raises as `open_text_keys`."""
    _require_text_keys(settings, log)
    if not _has_text_keys(settings):
        yield as_written
        return
    with _connect_text_keys(settings, log, read_only=True) as keys:
        yield TextCipher(keys).open_text


@contextmanager
def _connect_text_keys(settings: Settings, log: EventLog, read_only: bool) -> Iterator[TextKeys]:
    keys: TextKeys
    if not settings.log_is_shared:
        path = settings.text_keys_file
        with closing(SqliteTextKeys(path, log.identity, read_only=read_only)) as keys:
            yield keys
        return
    from infra.mongodb.connection import READ_SECONDS, open_blocking_database
    from infra.mongodb.text_keys import MongoTextKeys

    with (
        open_blocking_database(settings.views, READ_SECONDS) as database,
        closing(MongoTextKeys(database, log.identity)) as keys,
    ):
        yield keys


def _require_text_keys(settings: Settings, log: EventLog) -> None:
    """Raises `LogUnavailable` where texts are sealed under keys that are gone, and not given up."""
    given_up = settings.text_keys_file.with_suffix(".lost")
    if not (_has_text_keys(settings) or given_up.is_file()) and has_sealed_texts(log):
        raise LogUnavailable(
            f"{_place_of_keys(settings)} are missing, and without them no text of the log can be "
            f"read: {_how_to_get_keys(settings)}. To go on without the texts of before, make a "
            f"file {given_up}"
        )


def _has_text_keys(settings: Settings) -> bool:
    """Whether keys are there; an emptied file holds none."""
    path = settings.text_keys_file
    if not settings.log_is_shared:
        return path.is_file() and path.stat().st_size > 0
    from infra.mongodb.connection import READ_SECONDS, open_blocking_database
    from infra.mongodb.text_keys import has_text_keys

    with open_blocking_database(settings.views, READ_SECONDS) as database:
        return has_text_keys(database)


def _place_of_keys(settings: Settings) -> str:
    if settings.log_is_shared:
        return "the text keys in the MongoDB of STARLING_VIEWS"
    return f"the text keys in {settings.text_keys_file}"


def _how_to_get_keys(settings: Settings) -> str:
    if settings.log == "sqlite":
        return "put the newest copy of them there"
    return (
        "name the data folder or the MongoDB (STARLING_VIEWS) that this log is written with. "
        "Several machines write one log with one MongoDB"
    )


def _place_of_stores(settings: Settings) -> str | Path:
    return "the MongoDB of STARLING_VIEWS" if settings.log_is_shared else settings.data


def has_sealed_texts(log: EventLog) -> bool:
    """Whether the first event with personal texts has them sealed, as in each log that was begun
    since they are."""
    first = log.read_all(types=SEALED_TYPES, limit=1)
    return bool(first and sealed_texts(first[0].data))
