"""`starling dlq`: the events that projections could not apply."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infra.cli.admin_command import run_admin_command, use_admin
from infra.cli.errors import UserError
from infra.cli.options import (
    POSITION,
    data_option,
    find_projection,
    find_projections,
    json_option,
    name_argument,
    names_argument,
    settings_of_existing_log,
)
from infra.cli.output import echo_json

if TYPE_CHECKING:
    from streams.projecting.dead_letters import DeadLetter
    from streams.rebuild.admin import ProjectionAdmin

positions_argument = click.argument("positions", nargs=-1, type=POSITION, metavar="[POSITION]...")


@click.group()
def dlq() -> None:
    """Look after events that a projection could not apply.

    Such an event, a dead letter, is kept with its reason, and so are the later events of its
    stream, so that their order holds; everything else goes on.
    """


@dlq.command(name="list")
@names_argument
@data_option
@json_option
def list_dead_letters(names: tuple[str, ...], data: Path | None, as_json: bool) -> None:
    """List dead letters with their reasons.

    Those of the projections NAME, or of all.

    Example: starling dlq list
    """
    from infra.cli.output import print_table

    settings = settings_of_existing_log(data=data)
    wanted = [projection.name for projection in find_projections(names)]

    async def read_all(admin: "ProjectionAdmin") -> list[tuple[str, "DeadLetter"]]:
        return [(name, one) for name in wanted for one in await admin.dead_letters(name)]

    letters = use_admin(settings, read_all, for_questions=True)
    if as_json:
        rows = [{"projection": name, **_dead_letter_json(letter)} for name, letter in letters]
        echo_json(json.dumps(rows))
    else:
        columns = ("projection", "position", "type", "stream", "error")
        print_table(columns, [(n, o.position, o.type, o.stream, o.error) for n, o in letters])


@dlq.command()
@name_argument
@click.argument("position", type=POSITION)
@data_option
def inspect(name: str, position: int, data: Path | None) -> None:
    """Print one dead letter as JSON.

    With the event itself, the error and its traceback.

    Example: starling dlq inspect posts 48213
    """
    from events.json_lines import render_line
    from infra.log_of_record import open_log_for_questions

    settings, projection = settings_of_existing_log(data=data), find_projection(name)
    letters = use_admin(
        settings, lambda admin: admin.dead_letters(projection.name), for_questions=True
    )
    found = next((letter for letter in letters if letter.position == position), None)
    if found is None:
        raise UserError(
            f"{name} has no dead letter at position {position}: see `starling dlq list`"
        )
    with open_log_for_questions(settings) as log:
        stored = log.event_at(position)
    if stored is None:
        raise UserError(f"the log has no event at position {position}: it was replaced")
    shown = {
        "projection": name,
        **_dead_letter_json(found),
        "event": json.loads(render_line(stored)),
        "traceback": found.traceback.splitlines(),
    }
    echo_json(json.dumps(shown, indent=2))


@dlq.command()
@name_argument
@positions_argument
@data_option
def replay(name: str, positions: tuple[int, ...], data: Path | None) -> None:
    """Apply the dead letters of NAME again.

    Those of the streams of POSITION, or all. The events of each stream are applied in order, up to
    one that fails again. Exit status 1 where a dead letter is left.

    Example: starling dlq replay posts
    """
    settings = settings_of_existing_log(data=data)
    run_admin_command(settings, "replay", find_projection(name).name, positions)


@dlq.command()
@name_argument
@positions_argument
@click.option("--all", "everything", is_flag=True, help="Drop all of them.")
@data_option
def purge(name: str, positions: tuple[int, ...], everything: bool, data: Path | None) -> None:
    """Drop dead letters of NAME.

    The view never shows their events, until it is rebuilt.

    Example: starling dlq purge posts 48213
    """
    if bool(positions) == everything:
        raise click.UsageError("name the positions of the dead letters to drop, or give --all")
    settings = settings_of_existing_log(data=data)
    run_admin_command(settings, "purge", find_projection(name).name, positions)


def _dead_letter_json(letter: "DeadLetter") -> dict[str, Any]:
    """A dead letter for programs, without its traceback; ids and positions are text."""
    return {
        "position": str(letter.position),
        "id": str(letter.id),
        "type": letter.type,
        "stream": letter.stream,
        "error": letter.error,
    }
