"""Errors that an operator can do something about: one line and an exit status, no traceback."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from infra.process.logs import logs_are_json
from infra.process.terminal_text import on_one_line

_logger = logging.getLogger(__name__)

WRONG_SETTINGS = 2


class ErrorLine(NamedTuple):
    """What a process writes at its end, and its exit status: 1, or 2 where settings are wrong."""

    text: str
    exit_status: int = 1


def expected_error_line(error: Exception) -> ErrorLine | None:
    """The line for an error that is no bug of the program; None for every other."""
    from api.accounts.errors import AccountError
    from api.clicks.click_log import ClickError
    from api.media.errors import MediaError
    from commands.errors import CommandRejected
    from events.codec import UnknownEvent
    from events.ids.snowflake import SnowflakeError
    from events.log import LogError, NoSuchPosition
    from infra.embedded.backup import BackupFailed
    from infra.ids.machine_lease import LeaseError
    from infra.process.supervisor import CannotListen, ChildCannotStart
    from infra.settings import InvalidSetting
    from infra.shared_memory.fanout import RingsInUse
    from infra.shared_memory.status_page import ProjectorAlreadyRunning
    from projections.store import StoreError
    from streams.export.manifest import CannotResume
    from streams.export.restore import CannotRestore
    from streams.feed.relay import FeedUnavailable

    match error:
        case InvalidSetting() | NoSuchPosition():
            return ErrorLine(str(error), WRONG_SETTINGS)
        case ChildCannotStart():
            return ErrorLine(str(error), error.exit_status)
        case (
            AccountError()
            | BackupFailed()
            | ClickError()
            | CannotListen()
            | ProjectorAlreadyRunning()
            | CannotRestore()
            | CannotResume()
            | MediaError()
            | FeedUnavailable()
            | LeaseError()
            | LogError()
            | CommandRejected()
            | RingsInUse()
            | SnowflakeError()
            | StoreError()
            | UnknownEvent()
        ):
            return ErrorLine(str(error))
        case OSError(filename=str() | bytes() as name, strerror=str() as reason):
            where = name.decode(errors="replace") if isinstance(name, bytes) else name
            return ErrorLine(f"{where}: {reason}")
        case OSError(strerror=str() as reason):
            return ErrorLine(reason)
    return None


@contextmanager
def ending_with_one_line() -> Iterator[None]:
    """In the main function of a process: end it with the line of an expected error."""
    try:
        yield
    except Exception as error:
        line = expected_error_line(error)
        if line is None:
            raise
        if logs_are_json():
            _logger.error("%s", line.text)
        else:
            sys.stderr.write(f"starling: {on_one_line(line.text)}\n")
        sys.exit(line.exit_status)
