"""`starling token`: a token for a user, without a password; or the end of all of theirs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli.errors import UserError
from infra.cli.options import data_option, settings_of_existing_log
from infra.cli.output import echo

if TYPE_CHECKING:
    from events.log import EventLog

# As api.accounts.access_tokens.SCOPES; a test compares them. That import takes too long for --help.
SCOPES = ("user", "import", "analyst", "operator")


@click.command()
@click.argument("user")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What the token allows; may be given several times.  [default: user]",
)
@click.option(
    "--days",
    type=click.FloatRange(0, 3650, min_open=True),
    default=30.0,
    show_default=True,
    help="How long it is good for.",
)
@click.option("--revoke", is_flag=True, help="End all sessions of USER instead.")
@data_option
def token(user: str, scopes: tuple[str, ...], days: float, revoke: bool, data: Path | None) -> None:
    """Print a token for USER.

    USER is an id, an @handle or a handle. No password is needed: with the right to read the data
    folder comes that to act for its users. With --revoke, all tokens of USER are refused within a
    second instead.

    Example: starling token @robin --scope user --scope import
    """
    import asyncio
    import time

    from api.accounts.access_tokens import AccessTokens
    from infra.log_of_record import open_log_for_questions
    from infra.process.clock import clock_ms
    from infra.wiring.profile_choice import choose_profile

    if revoke and scopes:
        raise click.UsageError("--revoke ends sessions of all scopes: leave --scope out")
    settings = settings_of_existing_log(data=data)
    with open_log_for_questions(settings) as log:
        id = active_user(log, user)
    with choose_profile(settings).open_tokens() as store:
        tokens = AccessTokens(store, clock_ms, time.monotonic)
        if revoke:
            echo(str(asyncio.run(tokens.end_sessions(id))))
        else:
            echo(asyncio.run(tokens.issue(id, scopes or ("user",), days)))


def active_user(log: "EventLog", ref: str) -> int:
    """The id of a user who has an account now. Raises `CommandRejected`, `UserError`."""
    from commands import rules
    from commands.references import ReferenceResolver
    from commands.stream_reader import StreamReader
    from events import streams

    is_id = ref.isascii() and ref.isdecimal()
    user = ReferenceResolver(log).user_id(ref if is_id or ref[:1] == "@" else f"@{ref}")
    status = StreamReader(log)(streams.user_stream(user), rules.ACCOUNT_STATUS)
    if status is rules.AccountStatus.DELETED:
        raise UserError(f"the account {ref} was deleted")
    if status is not rules.AccountStatus.ACTIVE:
        raise UserError(f"there is no account {ref} in this data folder")
    return user
