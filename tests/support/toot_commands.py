"""Commands of toot, the client for terminals, as a person gives them."""

import json
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner
from toot import App, User
from toot.cli import Context, TootObj, cli

from tests.support.mastodon_people import SignedInPerson

Toot = Callable[..., Any]
"""Runs a command of toot as a person: what it printed, as JSON where that was asked for."""


def toot_as(person: SignedInPerson) -> Toot:
    domain = person.server.partition("://")[2]
    app = App(domain, person.server, "id", "secret")
    context = Context(app, User(domain, person.handle, person.token))

    def toot(command: str, *arguments: str, text: bool = False) -> Any:
        options = list(arguments) if text else [*arguments, "--json"]
        done = CliRunner().invoke(cli.commands[command], options, obj=TootObj(test_ctx=context))
        assert done.exit_code == 0, done.output
        return done.output if text else json.loads(done.stdout)

    return toot
