"""`starling token`: a token for a user, from whoever may read the data folder."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.program.options import data_option, settings_of_log
from infra.program.plain import Plain

if TYPE_CHECKING:
    from events.log import EventLog

# As api.auth.SCOPES; a test compares them. Importing that takes longer than `--help` may.
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
@data_option
def token(user: str, scopes: tuple[str, ...], days: float, data: Path | None) -> None:
    """Print a token for USER, who is an id, an @handle or a handle.

    Whoever may read the data folder may act for everybody in it: no password is asked for.

    Example: starling token @robin --scope user --scope import
    """
    from typing import cast

    from api.auth import Scope, Tokens
    from infra.command_side import clock_ms, open_log, signing_secret

    settings = settings_of_log(data=data)
    with open_log(settings) as log:
        id = _active_user(log, user)
    tokens = Tokens(signing_secret(settings), clock_ms)
    chosen = cast("tuple[Scope, ...]", scopes or ("user",))
    click.echo(tokens.issue(id, chosen, days))


def _active_user(log: "EventLog", ref: str) -> int:
    """The id of somebody who has an account now. Raises `Rejected`, `Plain`."""
    from commands import facts
    from commands.references import References
    from commands.sight import Sight
    from events import streams

    is_id = ref.isascii() and ref.isdecimal()
    user = References(log).user(ref if is_id or ref[:1] == "@" else f"@{ref}")
    standing = Sight(log)(streams.user(user), facts.STANDING)
    if standing is facts.Standing.DELETED:
        raise Plain(f"the account {ref} was deleted")
    if standing is not facts.Standing.ACTIVE:
        raise Plain(f"there is no account {ref} in this data folder")
    return user
