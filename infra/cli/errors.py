"""Errors that the operator can do something about: one line on stderr, no traceback."""

import logging
import sys

import click

from infra.process.logs import logs_are_json
from infra.process.terminal_text import on_one_line

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
            click.echo(f"starling: {on_one_line(self.message)}", file=sys.stderr)


def as_user_error(error: Exception) -> UserError | None:
    """The line for an error that is no bug of the program; None for every other."""
    from infra.dev.local_engine import EngineFailed, EngineMissing
    from infra.dev.stack_record import StackFailed
    from infra.entrypoints.expected_errors import expected_error_line

    if isinstance(error, EngineFailed | EngineMissing | StackFailed):
        return UserError(str(error))
    line = expected_error_line(error)
    return None if line is None else UserError(line.text, line.exit_status)


def require_streaming_packages() -> None:
    """Raise `UserError` if Faust or a driver of the streaming profile is not installed."""
    from importlib.util import find_spec

    if not all(map(find_spec, ("faust", "kafka", "motor"))):
        raise UserError("the packages of the streaming profile are not installed: use `make up`")


def missing_package(error: ModuleNotFoundError, extra: str) -> UserError:
    """The line for a package of an extra (`analysis`, `simulate`) that is not installed."""
    return UserError(
        f"this needs {error.name}: 'make setup' installs it, and so does pip install '.[{extra}]'"
    )
