"""Errors that the operator can do something about: one line on stderr, no traceback."""

import logging
import sys

import click

from infra.process.logs import logs_are_json

_logger = logging.getLogger(__name__)


class UserError(click.ClickException):
    """Ends the program with this line. Exit status 1; 2 where the settings are wrong."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file: object = None) -> None:
        """Write the line to stderr: a log record where this process writes JSON."""
        if logs_are_json():
            _logger.error("%s", self.message)
        else:
            click.echo(f"starling: {self.message}", file=sys.stderr)


def as_user_error(error: Exception) -> UserError | None:
    """The line for an error that is no bug of the program; None for every other."""
    from api.accounts.errors import AccountError
    from commands.errors import CommandRejected
    from events.codec import UnknownEvent
    from events.ids.snowflake import SnowflakeError
    from events.log import LogError
    from infra.dev.local_engine import EngineFailed, EngineMissing
    from infra.dev.stack_record import StackFailed
    from infra.embedded.backup import BackupFailed
    from infra.ids.machine_lease import LeaseError
    from infra.process.supervisor import CannotListen
    from infra.settings import InvalidSetting
    from infra.shared_memory.fanout import RingsInUse
    from infra.shared_memory.status_page import ProjectorAlreadyRunning
    from projections.store import StoreError
    from streams.export.manifest import CannotResume
    from streams.export.restore import CannotRestore
    from streams.feed.relay import FeedUnavailable

    match error:
        case InvalidSetting():
            return UserError(str(error), exit_code=2)
        case (
            AccountError()
            | BackupFailed()
            | CannotListen()
            | ProjectorAlreadyRunning()
            | CannotRestore()
            | CannotResume()
            | EngineFailed()
            | EngineMissing()
            | FeedUnavailable()
            | LeaseError()
            | LogError()
            | CommandRejected()
            | RingsInUse()
            | SnowflakeError()
            | StackFailed()
            | StoreError()
            | UnknownEvent()
        ):
            return UserError(str(error))
        case OSError(filename=str() | bytes() as name, strerror=str() as reason):
            where = name.decode(errors="replace") if isinstance(name, bytes) else name
            return UserError(f"{where}: {reason}")
        case OSError(strerror=str() as reason):
            return UserError(reason)
    return None


def require_streaming_packages() -> None:
    """Raise `UserError` if Faust or a driver of the streaming profile is not installed."""
    from importlib.util import find_spec

    if not all(map(find_spec, ("faust", "kafka", "motor"))):
        raise UserError("the packages of the streaming profile are not installed: use `make up`")


def missing_analysis_package(error: ModuleNotFoundError) -> UserError:
    """The line for a package of the extra `analysis` that is not installed."""
    return UserError(
        f"this needs {error.name}: 'make setup' installs it, and so does "
        "pip install 'starling[analysis]'"
    )
