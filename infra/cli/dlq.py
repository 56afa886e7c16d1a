"""`starling dlq`: the events that projections could not take."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infra.cli.admin_command import run_admin_command
from infra.cli.errors import UserError
from infra.cli.options import data_option, json_option, settings_of_existing_log
from infra.cli.projection_names import (
    name_argument,
    names_argument,
    projection_named,
    projections_named,
)

if TYPE_CHECKING:
    from infra.settings import Settings
    from projections.projection import Projection
    from streams.projecting.dead_letters import DeadLetter

positions_argument = click.argument("positions", nargs=-1, type=int, metavar="[POSITION]...")


@click.group()
def dlq() -> None:
    """Look after the dead letters: events that a projection could not take.

    Such an event is parked with its reason, and so are the later events of its stream, so that
    their order holds; everything else goes on.
    """


@dlq.command(name="list")
@names_argument
@data_option
@json_option
def list_dead_letters(names: tuple[str, ...], data: Path | None, as_json: bool) -> None:
    """Tell which events are parked, of the projections NAME or of all, and why.

    Example: starling dlq list
    """
    from infra.cli.output import print_table

    settings = settings_of_existing_log(data=data)
    parked = [
        (each.name, letter)
        for each in projections_named(names)
        for letter in _read_dead_letters(settings, each)
    ]
    if as_json:
        rows = [{"projection": name, **_dead_letter_json(letter)} for name, letter in parked]
        click.echo(json.dumps(rows))
    else:
        columns = ("projection", "position", "type", "stream", "error")
        print_table(columns, [(n, o.position, o.type, o.stream, o.error) for n, o in parked])


@dlq.command()
@name_argument
@click.argument("position", type=int)
@data_option
def inspect(name: str, position: int, data: Path | None) -> None:
    """Print all about one parked event as JSON: the event itself, error and traceback.

    Example: starling dlq inspect posts 48213
    """
    from events.json_lines import render_line
    from infra.log_of_record import open_log

    settings, projection = settings_of_existing_log(data=data), projection_named(name)
    found = next(
        (o for o in _read_dead_letters(settings, projection) if o.position == position), None
    )
    if found is None:
        raise UserError(
            f"{name} has no dead letter at position {position}: see `starling dlq list`"
        )
    with open_log(settings) as log:
        [stored] = log.read_all(position - 1, limit=1)
    told = {
        "projection": name,
        **_dead_letter_json(found),
        "event": json.loads(render_line(stored)),
    }
    click.echo(json.dumps({**told, "traceback": found.traceback.splitlines()}, indent=2))


@dlq.command()
@name_argument
@positions_argument
@data_option
def replay(name: str, positions: tuple[int, ...], data: Path | None) -> None:
    """Have NAME try its parked events again: those of the streams of POSITION, or all.

    Of each stream the events are taken in order, up to one that fails again. Exit status 1 where
    any stays parked.

    Example: starling dlq replay posts
    """
    run_admin_command(
        settings_of_existing_log(data=data), "replay", projection_named(name), positions
    )


@dlq.command()
@name_argument
@positions_argument
@click.option("--all", "everything", is_flag=True, help="Give up all of them.")
@data_option
def purge(name: str, positions: tuple[int, ...], everything: bool, data: Path | None) -> None:
    """Give up parked events: the view never shows them, until it is rebuilt.

    Example: starling dlq purge posts 48213
    """
    if bool(positions) == everything:
        raise click.UsageError("name the positions of the events to give up, or give --all")
    run_admin_command(
        settings_of_existing_log(data=data), "purge", projection_named(name), positions
    )


def _read_dead_letters(settings: "Settings", projection: "Projection") -> "list[DeadLetter]":
    import asyncio

    from infra.embedded.projection_statuses import dead_letters_of

    return asyncio.run(dead_letters_of(settings, projection))


def _dead_letter_json(letter: "DeadLetter") -> dict[str, Any]:
    """A letter for programs, without its traceback; ids and positions are text."""
    return {
        "position": str(letter.position),
        "id": str(letter.id),
        "type": letter.type,
        "stream": letter.stream,
        "error": letter.error,
    }
