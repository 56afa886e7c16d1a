"""`starling account-link`: a link by which a user sets a new password, or has a verified email."""

from pathlib import Path

import click

from infra.cli.errors import UserError
from infra.cli.options import data_option, settings_of_existing_log
from infra.cli.output import echo
from infra.cli.token import active_user


@click.command()
@click.argument("user")
@click.option(
    "--verify-email", is_flag=True, help="A link that verifies the email address instead."
)
@data_option
def account_link(user: str, verify_email: bool, data: Path | None) -> None:
    """Print a link by which USER chooses a new password.

    USER is an id, an @handle or a handle. It works once, for an hour; with --verify-email for a
    day. It begins with STARLING_BASE_URL. Give it to the user alone: it needs no password.

    Example: starling account-link @robin
    """
    import asyncio

    from api.accounts.link_tokens import LinkTokens
    from api.accounts.recovery import reset_link, verification_link
    from infra.log_of_record import open_log_for_questions
    from infra.process.clock import clock_ms
    from infra.wiring.profile_choice import choose_profile
    from infra.wiring.signing_secret import signing_secret

    settings = settings_of_existing_log(data=data)
    with open_log_for_questions(settings) as log:
        id = active_user(log, user)
    with choose_profile(settings).open_accounts() as accounts:
        account = asyncio.run(accounts.get(id))
    if account is None:
        raise UserError(f"{user} has neither an email address nor a password: nothing to set anew")
    if verify_email and account.email is None:
        raise UserError(f"{user} has no email address")
    links = LinkTokens(signing_secret(settings), clock_ms)
    link = verification_link if verify_email else reset_link
    echo(link(links, account, settings.base_url))
