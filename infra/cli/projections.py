"""`starling projections`: how far the read models are, and work on them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

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
from infra.cli.output import echo, echo_json
from infra.cli.projections_show import show

if TYPE_CHECKING:
    from infra.settings import Settings
    from streams.rebuild.admin import ProjectionAdmin


@click.group()
def projections() -> None:
    """Look at the read models, and work on them."""


projections.add_command(show)


@projections.command(name="list")
@data_option
@json_option
def list_projections(data: Path | None, as_json: bool) -> None:
    """Print how far every projection is.

    Name, version, position, lag, state, dead letters, skips and rebuild.

    Example: starling projections list
    """
    _print_status(settings_of_existing_log(data=data), (), as_json)


@projections.command()
@names_argument
@data_option
@json_option
def status(names: tuple[str, ...], data: Path | None, as_json: bool) -> None:
    """Print how far the projections NAME, or all, are.

    The state is 'current' when the view shows everything in the log, 'behind' when a projector
    has work to do (`lag` counts events of the log), 'paused', 'outdated' while a view of an
    older version stays where it is and serves what it can until it is rebuilt, or 'absent' before
    there is a view. Dead letters are events that it could not apply: see `starling dlq`.

    Example: starling projections status timeline --json
    """
    _print_status(settings_of_existing_log(data=data), names, as_json)


@projections.command()
@names_argument
@data_option
@json_option
def check(names: tuple[str, ...], data: Path | None, as_json: bool) -> None:
    """Find views that were built by other code.

    Of the projections NAME, or of all. The state is 'same'; 'changed' where the version is the same
    and the code or the tables are not; 'unknown' for a view that an older program built; 'rebuild
    due' where the version was raised; or 'absent'. Exit status 1 where one is 'changed': raise its
    version, or rebuild it.

    Example: starling projections check --json
    """
    from infra.cli.output import print_table
    from streams.rebuild.fingerprint import CodeCheck, check_code

    wanted = find_projections(names)

    async def check_each(admin: "ProjectionAdmin") -> list[CodeCheck]:
        return [check_code(each, await admin.view_origin(each.name)) for each in wanted]

    found = use_admin(settings_of_existing_log(data=data), check_each, for_questions=True)
    if as_json:
        echo_json(json.dumps([one._asdict() for one in found]))
    else:
        print_table([name.replace("_", " ") for name in CodeCheck._fields], found)
    if any(one.state == "changed" for one in found):
        raise click.exceptions.Exit(1)


@projections.command()
@name_argument
@data_option
def pause(name: str, data: Path | None) -> None:
    """Keep the view of NAME as it is, until `resume`.

    Restarts don't change that.

    Example: starling projections pause trending
    """
    run_admin_command(settings_of_existing_log(data=data), "pause", find_projection(name).name)


@projections.command()
@name_argument
@data_option
def resume(name: str, data: Path | None) -> None:
    """Go on with a projection that was paused.

    Example: starling projections resume trending
    """
    run_admin_command(settings_of_existing_log(data=data), "resume", find_projection(name).name)


@projections.command()
@name_argument
@click.argument("positions", nargs=-1, required=True, type=POSITION, metavar="POSITION...")
@data_option
def skip(name: str, positions: tuple[int, ...], data: Path | None) -> None:
    """Have NAME leave out the events at POSITION.

    Now and in rebuilds, until `unskip`. For an event that no version of the projection will ever be
    able to apply: a dead letter, or the event at which a rebuild stopped. Other positions are
    refused. The later events of its stream, which waited for it, are applied now. `status` lists
    what is skipped.

    Example: starling projections skip posts 48213
    """
    settings = settings_of_existing_log(data=data)
    run_admin_command(settings, "skip", find_projection(name).name, positions)


@projections.command()
@name_argument
@click.argument("positions", nargs=-1, required=True, type=int, metavar="POSITION...")
@data_option
def unskip(name: str, positions: tuple[int, ...], data: Path | None) -> None:
    """Have NAME leave out the events at POSITION no more.

    Events that the view has passed are in it after the next rebuild.

    Example: starling projections unskip posts 48213
    """
    settings = settings_of_existing_log(data=data)
    run_admin_command(settings, "unskip", find_projection(name).name, positions)


@projections.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everything", is_flag=True, help="Rebuild every projection.")
@click.option("--verify", is_flag=True, help="Compare with the live view; switch if they agree.")
@click.option("--jobs", type=click.IntRange(1), help="Rebuilds at once.  [default: one a core]")
@click.option("--cancel", is_flag=True, help="Cancel rebuilds, also those of other processes.")
@data_option
def rebuild(
    names: tuple[str, ...],
    everything: bool,
    verify: bool,
    jobs: int | None,
    cancel: bool,
    data: Path | None,
) -> None:
    """Rebuild views from the log, and switch to them.

    The server goes on meanwhile, and shows the new view from one answer to the next. Ctrl-C cancels
    the rebuild and leaves no trace; one that was killed is resumed by the next. Exit status 1 where
    --verify finds a difference (the first ones are printed; the live view stays), or where a
    projection can't apply an event (see `starling projections skip`).

    Example: starling projections rebuild timeline --verify
    """
    if bool(names) == everything:
        raise click.UsageError("name the projections to rebuild, or give --all")
    settings = settings_of_existing_log(data=data)
    wanted = [projection.name for projection in find_projections(names)]
    if cancel:
        _cancel_rebuilds(settings, wanted)
    else:
        _run_rebuilds(settings, wanted, verify, jobs)


def _print_status(settings: "Settings", names: tuple[str, ...], as_json: bool) -> None:
    from infra.cli.output import print_table
    from streams.rebuild.status import ProjectionStatus

    wanted = find_projections(names)
    rows = use_admin(settings, lambda admin: admin.statuses(wanted), for_questions=True)
    if as_json:
        # Positions are opaque outside the log, and text wherever others read them.
        texts = [{"position": str(row.position), "skips": [*map(str, row.skips)]} for row in rows]
        shown = [row._asdict() | text for row, text in zip(rows, texts, strict=True)]
        echo_json(json.dumps(shown))
    else:
        hidden = set() if any(row.partitions for row in rows) else {"partitions"}
        columns = [name for name in ProjectionStatus._fields if name not in hidden]
        cells = [[_status_cell(getattr(row, name)) for name in columns] for row in rows]
        print_table([name.replace("_", " ") for name in columns], cells)


def _status_cell(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def _cancel_rebuilds(settings: "Settings", names: list[str]) -> None:
    async def cancel_each(admin: "ProjectionAdmin") -> None:
        for name in names:
            found = await admin.cancel_rebuild(name)
            echo(f"{name}: {'cancelled' if found else 'no rebuild to cancel'}", err=True)

    use_admin(settings, cancel_each)


def _run_rebuilds(settings: "Settings", names: list[str], verify: bool, jobs: int | None) -> None:
    import os

    from infra.cli.progress import ProgressBar, progress_bar
    from infra.wiring.profile_choice import choose_profile
    from streams.rebuild.admin import AdminCommand
    from streams.rebuild.jobs import RebuildJobs, RebuildOutcome

    async def run_jobs(
        admin: "ProjectionAdmin", progress: ProgressBar
    ) -> tuple[dict[str, RebuildOutcome], dict[str, frozenset[int]]]:
        async with choose_profile(settings).open_rebuild_backend() as backend:
            rebuilds = RebuildJobs(
                backend,
                lambda name: admin.execute(AdminCommand("switch", name)),
                jobs or os.cpu_count() or 1,
            )
            skips = {name: await admin.skipped_positions(name) for name in names}
            return await rebuilds.run(names, verify, progress.begin_phase), skips

    with progress_bar() as progress:
        try:
            outcomes, skips = use_admin(settings, lambda admin: run_jobs(admin, progress))
        except KeyboardInterrupt:
            raise UserError(
                "cancelled: views that were not switched to yet are gone, the live ones stay"
            ) from None
    for name, outcome in outcomes.items():
        named = outcome.text.startswith(name)
        echo(outcome.text if named else f"{name}: {outcome.text}", err=True)
        if skips[name]:
            skipped = ", ".join(map(str, sorted(skips[name])))
            echo(f"{name}: leaves out what it skips: {skipped}", err=True)
        for line in outcome.differences:
            echo(line)
    if not all(outcome.done for outcome in outcomes.values()):
        raise click.exceptions.Exit(1)
