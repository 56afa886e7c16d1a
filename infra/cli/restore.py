"""`starling restore`: an exported log back into an empty data folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from infra.cli.errors import UserError
from infra.cli.options import data_option, settings_with_options

if TYPE_CHECKING:
    from events.envelope import StoredEvent


@click.command()
@click.argument("file", type=click.File("rb"))
@data_option
def restore(file: BinaryIO, data: Path | None) -> None:
    """Put the events of FILE (- for stdin) into an empty log, as `starling replay` wrote them.

    FILE is JSONL of all events of a log. They keep their ids, order, streams and versions, so every
    read model comes out the same. A restore that broke off is simply started again. Not restored,
    because no log holds them: emails and passwords (data/accounts.sqlite), images (data/media), and
    the keys of imports, whose lines would be done again.

    Example: starling restore events.jsonl --data new
    """
    import asyncio

    from infra.cli.progress import progress_bar
    from infra.log_of_record import open_log
    from streams.export.restore import restore_events as restored

    settings = settings_with_options(data=data)
    settings.data.mkdir(parents=True, exist_ok=True)
    with open_log(settings) as log, progress_bar() as progress:
        count = asyncio.run(
            restored(log, _parse_events(file), progress.begin_phase("events", None))
        )
    click.echo(f"{count:,} events restored", err=True)


def _parse_events(file: BinaryIO) -> "Iterator[StoredEvent]":
    import msgspec

    from events.json_lines import parse_line

    for number, line in enumerate(file, 1):
        if line.isspace():
            continue
        try:
            yield parse_line(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UserError(f"line {number} is no event as replay writes it: {error}") from error
