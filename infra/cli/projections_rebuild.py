"""`starling projections rebuild`: views made anew from the log, while the server goes on."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli.errors import UserError
from infra.cli.options import data_option, settings_of_existing_log
from infra.cli.projection_names import projections_named

if TYPE_CHECKING:
    from infra.settings import Settings


@click.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everything", is_flag=True, help="Rebuild every projection.")
@click.option("--verify", is_flag=True, help="Compare with the live view; switch if they agree.")
@click.option("--jobs", type=click.IntRange(1), help="Rebuilds at once.  [default: one a core]")
@click.option("--cancel", is_flag=True, help="Take back rebuilds instead, whoever runs them.")
@data_option
def rebuild(
    names: tuple[str, ...],
    everything: bool,
    verify: bool,
    jobs: int | None,
    cancel: bool,
    data: Path | None,
) -> None:
    """Make the views of the projections NAME anew from the log, and switch to them.

    The server goes on meanwhile, and shows the new view from one answer to the next. Ctrl-C takes
    the rebuild back and leaves no trace; one that was killed is gone on with by the next. Exit
    status 1 where --verify finds a difference (the first ones are printed; the live view stays), or
    where a projection can't take an event (see `starling projections skip`).

    Example: starling projections rebuild timeline --verify
    """
    if bool(names) == everything:
        raise click.UsageError("name the projections to rebuild, or give --all")
    settings = settings_of_existing_log(data=data)
    wanted = [projection.name for projection in projections_named(names)]
    if cancel:
        _cancel_rebuilds(settings, wanted)
    else:
        _run_rebuilds(settings, wanted, verify, jobs)


def _cancel_rebuilds(settings: "Settings", names: list[str]) -> None:
    import asyncio

    from infra.streaming.rebuilds import open_rebuild_backend

    async def cancel_each() -> None:
        async with open_rebuild_backend(settings) as shop:
            for name in names:
                there = await shop.cancel_rebuild(name)
                click.echo(f"{name}: {'cancelled' if there else 'no rebuild to cancel'}", err=True)

    asyncio.run(cancel_each())


def _run_rebuilds(settings: "Settings", names: list[str], verify: bool, jobs: int | None) -> None:
    import asyncio
    import os

    from infra.cli.progress import ProgressBar, progress_bar
    from infra.streaming.rebuilds import open_rebuild_backend
    from streams.rebuild.jobs import RebuildJobs, RebuildOutcome

    rebuilds = RebuildJobs(names, verify, jobs or os.cpu_count() or 1)

    async def run_jobs(progress: ProgressBar) -> dict[str, RebuildOutcome]:
        async with open_rebuild_backend(settings) as shop:
            return await rebuilds.run(shop, progress.begin_phase)

    async def cancel_jobs() -> None:
        async with open_rebuild_backend(settings) as shop:
            await rebuilds.cancel_all(shop)

    with progress_bar() as progress:
        try:
            outcomes = asyncio.run(run_jobs(progress))
        except KeyboardInterrupt:
            asyncio.run(cancel_jobs())
            raise UserError(
                "cancelled: views that were not switched to yet are gone, the live ones stay"
            ) from None
    for name, outcome in outcomes.items():
        click.echo(f"{name}: {outcome.text}", err=True)
        for line in outcome.differences:
            click.echo(line)
    if not all(outcome.done for outcome in outcomes.values()):
        raise click.exceptions.Exit(1)
