"""The log of record that the settings name. Any process may open it; the store arbitrates."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from events.log import EventLog
from infra.settings import InvalidSetting, Settings
from infra.sqlite.event_log import SqliteLog


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
