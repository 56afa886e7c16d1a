"""`starling import`: lines of commands, straight into the log of a data folder; `starling demo`."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from infra.cli.errors import UserError
from infra.cli.options import data_option, settings_with_options
from infra.cli.output import echo, echo_json, open_stdout

if TYPE_CHECKING:
    from api.bulk.command_importer import CommandImporter
    from infra.settings import Settings


@click.command(name="import")
@click.argument("file", type=click.File("rb"))
@data_option
def import_commands(file: BinaryIO, data: Path | None) -> None:
    """Do the commands in FILE, one JSON object a line.

    In order; - is stdin. A line is {"command", "as", "key", "at", "data"}. Its answer goes to
    stdout: {"key", "status", "id", "position"}, or {"key", "status", "problem"} where it was
    refused, and the problem names its line in FILE. A bad line stops none after it; a blank one has
    no answer. A key that was seen gives its first answer again, so an import that broke off is
    simply started again. Works while a server runs on the data folder. Exit status 1: some lines
    were refused.

    Example: starling import town.ndjson > answers.ndjson
    """
    import asyncio

    failed = asyncio.run(_import_file(settings_with_options(data=data), file))
    if failed:
        echo(f"lines that were refused: {failed:,}; their answers say why", err=True)
        raise click.exceptions.Exit(1)


async def _import_file(settings: "Settings", file: BinaryIO) -> int:
    """Import everything; how many lines were refused."""
    from api.accounts.passwords import BoundedPasswordHasher
    from api.accounts.registration import AccountRegistrar
    from api.bulk.command_importer import WINDOW_LINES, CommandImporter
    from api.media.media_library import OwnUploads
    from infra.cli.progress import progress_bar
    from infra.wiring.write_side import open_write_side

    with open_write_side(settings) as side, progress_bar() as progress:
        registrar = AccountRegistrar(side, BoundedPasswordHasher())
        imports = CommandImporter(
            side.log,
            side.handler,
            side.accounts,
            registrar.register_account,
            side.open_import_ids,
            side.clock_ms,
            OwnUploads(side.media_records, side.clock_ms),
        )
        report_progress = progress.begin_phase("bytes", _file_size(file))
        failed = read = 0
        for window in _split_windows(file, WINDOW_LINES):
            failed += await _import_window(
                imports, [(number, line) for number, line in window if not line.isspace()]
            )
            # Reading is quick, and the rate shown is that of the import.
            read += sum(len(line) for _, line in window)
            report_progress(read)
        # What the lines deleted must not wait for the next server.
        await side.erasure.catch_up()
    return failed


async def _import_window(imports: "CommandImporter", window: list[tuple[int, bytes]]) -> int:
    from api.v1.bulk import encode_line, line_response

    done = await imports.run_lines([line for _, line in window])
    results = [
        line_response(result, number) for (number, _), result in zip(window, done, strict=True)
    ]
    out = open_stdout()
    out.writelines(encode_line(result) for result in results)
    out.flush()
    if lost := [result for result in results if result.status == 503]:
        problem = lost[0].problem
        detail = problem.detail if problem else ""
        raise UserError(
            f"{detail}; the same import can be started again, lines with keys are done once"
        )
    return sum(result.status >= 400 for result in results)


def _split_windows(file: BinaryIO, size: int) -> Iterator[list[tuple[int, bytes]]]:
    """The lines with their numbers, from 1, `size` at a time."""
    numbered = enumerate(_read_lines(file), 1)
    while window := list(islice(numbered, size)):
        yield window


def _read_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines. Of one that is too long, as much as shows that: it may be the whole file."""
    from api.bulk.command_importer import LINE_BYTES_LIMIT

    while line := file.readline(LINE_BYTES_LIMIT + 2):
        yield line
        while len(line) == LINE_BYTES_LIMIT + 2 and not line.endswith(b"\n"):
            line = file.readline(LINE_BYTES_LIMIT + 2)


def _file_size(file: BinaryIO) -> int | None:
    """Bytes, where that is known: a pipe has no size."""
    from os import fstat
    from stat import S_ISREG

    try:
        status = fstat(file.fileno())
    except OSError:
        return None
    return status.st_size if S_ISREG(status.st_mode) else None


@click.command()
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31),
    default=1,
    show_default=True,
    help="The same seed and time make the same world.",
)
@click.option("--at", metavar="TIME", help="When the world's two weeks end.  [default: now]")
def demo(seed: int, at: str | None) -> None:
    """Print the demo world as lines for `starling import`.

    It is the one that `starling serve --demo` makes.

    Example: starling demo --at 2024-05-08T12:00:00Z | starling import - --data town
    """
    from events.times import InvalidTime, parse_time
    from infra.dev.demo_world import generate_commands
    from infra.process.clock import clock_ms

    try:
        now_ms = clock_ms() if at is None else parse_time(at)
    except InvalidTime as error:
        raise click.UsageError(str(error)) from error
    for line in generate_commands(seed, now_ms):
        echo_json(json.dumps(line, ensure_ascii=False))
