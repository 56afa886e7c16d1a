"""Errors that a person can do something about: one clear line on stderr, no traceback."""

import sys

import click


class Plain(click.ClickException):
    """Ends the program with this line. Exit status 1; 2 where the settings are wrong."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file: object = None) -> None:
        """Write the line to stderr."""
        click.echo(f"starling: {self.message}", file=sys.stderr)


def plain(error: Exception) -> Plain | None:
    """The line for an error that is nobody's bug; None for every other."""
    from api.accounts import AccountsUnavailable
    from commands.errors import Rejected
    from events.codec import UnknownEvent
    from events.log import LogError
    from events.snowflake import SnowflakeError
    from infra.leases.lease import LeaseError
    from infra.settings import WrongSetting
    from infra.views.board import BoardTaken
    from infra.views.fanout import RingsTaken
    from projections.store import StoreError
    from streams.exports.manifest import CannotResume
    from streams.relay import FeedUnavailable
    from streams.restore import CannotRestore

    match error:
        case WrongSetting():
            return Plain(str(error), exit_code=2)
        case (
            AccountsUnavailable()
            | BoardTaken()
            | CannotRestore()
            | CannotResume()
            | FeedUnavailable()
            | LeaseError()
            | LogError()
            | Rejected()
            | RingsTaken()
            | SnowflakeError()
            | StoreError()
            | UnknownEvent()
        ):
            return Plain(str(error))
        case OSError(filename=str() | bytes() as name, strerror=str() as reason):
            where = name.decode(errors="replace") if isinstance(name, bytes) else name
            return Plain(f"{where}: {reason}")
        case OSError(strerror=str() as reason):
            return Plain(reason)
    return None
