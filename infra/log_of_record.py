"""The log of record that the settings name, and the keys of its texts.

Any process may open them; the stores arbitrate.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from events.log import EventLog, LogUnavailable
from events.sealed_text import SEALED_TYPES, OpenText, as_written, sealed_texts
from infra.encryption.text_cipher import TextCipher
from infra.settings import InvalidSetting, Settings
from infra.sqlite.event_log import SqliteLog
from infra.sqlite.text_keys import SqliteTextKeys


@contextmanager
def open_log(settings: Settings) -> Iterator[EventLog]:
    """The log, made where there is none.

    Raises `LogUnavailable`, and `InvalidSetting` for a log that this version has no adapter for.
    """
    with closing(_connect_log(settings, read_only=False)) as log:
        yield log


@contextmanager
def open_log_for_questions(settings: Settings) -> Iterator[EventLog]:
    """A log that is there, for a command that only reads: it may be a copy that can't be written.

    Raises as `open_log` does.
    """
    read_only = not (os.access(settings.log_file, os.W_OK) and os.access(settings.data, os.W_OK))
    with closing(_connect_log(settings, read_only)) as log:
        yield log


def _connect_log(settings: Settings, read_only: bool) -> SqliteLog:
    if settings.log != "sqlite":
        raise InvalidSetting("STARLING_LOG: this version knows the log 'sqlite' alone")
    return SqliteLog(settings.log_file, read_only=read_only)


def log_is_missing(settings: Settings) -> bool:
    """Whether no process has written the log yet, as far as that can be seen from here."""
    return settings.log == "sqlite" and not settings.log_file.is_file()


@contextmanager
def open_text_keys(
    settings: Settings, log: EventLog, *, read_only: bool = False
) -> Iterator[SqliteTextKeys]:
    """The keys that the texts of a log are sealed under, made where there are none.

    Raises `LogUnavailable`, also where the log holds sealed texts and the file of their keys is
    gone: a new one would make every text of before unreadable for ever, without a word.
    """
    path = settings.text_keys_file
    if not _has_text_keys(path) and has_sealed_texts(log) and not _are_given_up(path):
        raise LogUnavailable(
            f"{path} is missing, and without it no text of the log can be read: put the newest "
            f"copy of it there. To go on without the texts of before, make a file {path.stem}.lost"
        )
    with closing(SqliteTextKeys(path, log.identity, read_only=read_only)) as keys:
        yield keys


@contextmanager
def open_text_reader(settings: Settings, log: EventLog) -> Iterator[OpenText]:
    """What opens the texts of a log, for a command that only reads. Raises as `open_text_keys`."""
    path = settings.text_keys_file
    if not _has_text_keys(path) and (_are_given_up(path) or not has_sealed_texts(log)):
        yield as_written
        return
    with open_text_keys(settings, log, read_only=True) as keys:
        yield TextCipher(keys).open_text


def _has_text_keys(path: Path) -> bool:
    """Whether a file of keys is there; an emptied one is none."""
    return path.is_file() and path.stat().st_size > 0


def _are_given_up(path: Path) -> bool:
    return path.with_suffix(".lost").is_file()


def has_sealed_texts(log: EventLog) -> bool:
    """Whether the first event with personal texts has them sealed, as in each log that was begun
    since they are."""
    first = log.read_all(types=SEALED_TYPES, limit=1)
    return bool(first and sealed_texts(first[0].data))
