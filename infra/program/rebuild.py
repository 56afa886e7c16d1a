"""`starling projections rebuild`: views made anew from the log, while the server goes on."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.program.names import chosen
from infra.program.options import data_option, settings_of_log
from infra.program.plain import Plain

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
    settings = settings_of_log(data=data)
    wanted = [projection.name for projection in chosen(names)]
    if cancel:
        _cancel(settings, wanted)
    else:
        _rebuild(settings, wanted, verify, jobs)


def _cancel(settings: "Settings", names: list[str]) -> None:
    import asyncio

    from infra.workshops import workshop

    async def cancel() -> None:
        async with workshop(settings) as shop:
            for name in names:
                there = await shop.cancel(name)
                click.echo(f"{name}: {'cancelled' if there else 'no rebuild to cancel'}", err=True)

    asyncio.run(cancel())


def _rebuild(settings: "Settings", names: list[str], verify: bool, jobs: int | None) -> None:
    import asyncio
    import os

    from infra.conducting import Outcome, Rebuilds
    from infra.program.progress import Bar, bar
    from infra.workshops import workshop

    rebuilds = Rebuilds(names, verify, jobs or os.cpu_count() or 1)

    async def run(progress: Bar) -> dict[str, Outcome]:
        async with workshop(settings) as shop:
            return await rebuilds.run(shop, progress.phase)

    async def cancel() -> None:
        async with workshop(settings) as shop:
            await rebuilds.cancel(shop)

    with bar() as progress:
        try:
            outcomes = asyncio.run(run(progress))
        except KeyboardInterrupt:
            asyncio.run(cancel())
            raise Plain(
                "cancelled: views that were not switched to yet are gone, the live ones stay"
            ) from None
    for name, outcome in outcomes.items():
        click.echo(f"{name}: {outcome.text}", err=True)
        for line in outcome.differences:
            click.echo(line)
    if not all(outcome.done for outcome in outcomes.values()):
        raise click.exceptions.Exit(1)
