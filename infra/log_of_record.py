"""The log of record that the settings name. Any process may open it; the store arbitrates."""

from collections.abc import Iterator
from contextlib import contextmanager

from events.log import EventLog
from infra.settings import InvalidSetting, Settings
from infra.sqlite.event_log import SqliteLog


@contextmanager
def open_log(settings: Settings) -> Iterator[EventLog]:
    """The log, made where there is none.

    Raises `LogUnavailable`, and `InvalidSetting` for a log that this version has no adapter for.
    """
    if settings.log != "sqlite":
        raise InvalidSetting("STARLING_LOG: this version knows the log 'sqlite' alone")
    log = SqliteLog(settings.log_file)
    try:
        yield log
    finally:
        log.close()


def log_is_missing(settings: Settings) -> bool:
    """Whether no process has written the log yet, as far as that can be seen from here."""
    return settings.log == "sqlite" and not settings.log_file.is_file()
