"""`starling ids`: ids, made, read, handed out and compared."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli.options import data_option, json_option, process_settings, settings_with_options
from infra.cli.output import echo_json, echo_line, print_table

if TYPE_CHECKING:
    from infra.dev.ids_comparison import IdsResult


@click.group()
def ids() -> None:
    """Make and read ids, and hand them out."""


@ids.command(name="next")
@click.option("--count", type=click.IntRange(1, 10_000_000), default=1, show_default=True)
@data_option
def print_new_ids(count: int, data: Path | None) -> None:
    """Print new ids, one a line.

    They are unique among all processes on the data folder.

    Example: starling ids next --count 3
    """
    from infra.log_of_record import open_log
    from infra.wiring.id_sources import open_live_ids

    settings = settings_with_options(data=data)
    settings.make_data_folder()
    with open_log(settings) as log, open_live_ids(settings, log) as new_id:
        for _ in range(count):
            sys.stdout.write(f"{new_id()}\n")


@ids.command(name="serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option("--port", type=click.IntRange(0, 65535), default=8010, show_default=True)
@click.option(
    "--above", metavar="URL", help="Take blocks from the id server there, and hand them on."
)
@data_option
def serve_blocks(host: str, port: int, above: str | None, data: Path | None) -> None:
    """Run the id server, until Ctrl-C.

    It is for processes with STARLING_IDS=global, and hands out blocks of 4,096 numbers, which its
    clients make ids of. With --above it is a block server for the processes near it. An address
    that others reach needs a password (STARLING_ID_SERVER_PASSWORD_FILE).

    Example: starling ids serve --port 8010
    """
    from infra.entrypoints.id_server import serve_ids

    serve_ids(process_settings("ids", data=data), host, port, above)


@ids.command()
@click.option("--clients", type=click.IntRange(2, 64), default=4, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(0.3, 30),
    default=6.0,
    show_default=True,
    help="For each way: a third before, without and after its server.",
)
@click.option(
    "--png",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Draw ids a second over time there.",
)
@click.option("--mongodb", is_flag=True, help="And by tickets of two mongods, started for it.")
@json_option
def compare(clients: int, seconds: float, png: Path | None, mongodb: bool, as_json: bool) -> None:
    """Compare three ways to make ids while a server is killed.

    Snowflake, tickets and an id server. Several processes make ids as fast as they can, in folders
    of their own that are removed. A third of the time there is no server, and one process is
    killed.

    Example: starling ids compare --clients 4 --png ids.png
    """
    import tempfile

    from infra.cli.errors import missing_package, require_streaming_packages
    from infra.dev.compared_ways import IN_MONGODB, WAYS
    from infra.dev.ids_comparison import compare_ways, save_plot

    if png is not None and not png.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {png.parent}", param_hint="--png")
    if mongodb:
        require_streaming_packages()
    names = (*WAYS, IN_MONGODB) if mongodb else WAYS
    with tempfile.TemporaryDirectory(prefix="starling-ids-") as folder:
        results = compare_ways(Path(folder), clients, seconds, echo_line, names)
    if as_json:
        echo_json(json.dumps([asdict(result) for result in results]))
    else:
        _print_results(results)
    if png is not None:  # last, so that a disk that is full takes nothing away
        try:
            save_plot(results, seconds, png)
        except ModuleNotFoundError as error:
            raise missing_package(error, "plots") from error


def _print_results(results: "Sequence[IdsResult]") -> None:
    columns = (
        "way", "ids/s", "p50 us", "p99 us", "unique", "behind ms", "without", "refused s", "wasted",
    )  # fmt: skip
    rows = [
        (
            one.way, f"{one.ids_per_second:,.0f}", f"{one.p50_us:.1f}", f"{one.p99_us:.1f}",
            "yes" if one.unique else "NO", one.behind_ms, one.taken_away,
            f"{one.refused_seconds:.2f}", f"{one.wasted:,}",
        )
        for one in results
    ]  # fmt: skip
    print_table(columns, rows)
    for one in results:
        if one.reason:
            echo_line(f"{one.way}, while refused: {one.reason}")


@ids.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@json_option
def decode(ids: tuple[str, ...], as_json: bool) -> None:
    """Print the time, machine and sequence number in each ID.

    Example: starling ids decode 1790012345678901248
    """
    from events.ids.snowflake import decode_id as parts_of
    from events.ids.snowflake import parse_decimal
    from events.times import format_times

    rows: list[tuple[str, str, int, int]] = []
    for text in ids:
        id = parse_decimal(text)
        if id is None:
            message = f"{text!r} is no Snowflake id: give 1 to 19 decimal digits, 63 bits at most"
            raise click.BadParameter(message, param_hint="ID")
        parts = parts_of(id)
        [time] = format_times([id])
        rows.append((text, time, parts.machine, parts.sequence))
    columns = ("id", "time", "machine", "sequence")
    if as_json:
        echo_json(json.dumps([dict(zip(columns, row, strict=True)) for row in rows]))
        return
    print_table(columns, rows)
