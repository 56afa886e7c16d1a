"""`starling import`: lines of commands, straight into the log of a data folder."""

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from infra.program.options import data_option, settings_with
from infra.program.plain import Plain

if TYPE_CHECKING:
    from api.imports import Imports
    from infra.settings import Settings


@click.command(name="import")
@click.argument("file", type=click.File("rb"))
@data_option
def import_(file: BinaryIO, data: Path | None) -> None:
    """Do the commands in FILE (- for stdin), one JSON object a line, in order.

    A line is {"command", "as", "key", "at", "data"}. Its answer goes to stdout: {"key", "status",
    "id", "position"}, or {"key", "status", "problem"} where it was refused; a bad line stops none
    after it. A key that was seen gives its first answer again, so an import that broke off is
    simply started again. Works while a server runs on the data folder. Exit status 1: some lines
    were refused.

    Example: starling import town.ndjson > answers.ndjson
    """
    import asyncio

    failed = asyncio.run(_run(settings_with(data=data), file))
    if failed:
        click.echo(f"{failed:,} lines were refused: their answers say why", err=True)
        raise click.exceptions.Exit(1)


async def _run(settings: "Settings", file: BinaryIO) -> int:
    """Import everything; how many lines were refused."""
    from api.imports import WINDOW, Imports
    from api.passwords import Passwords
    from api.signing import Signing
    from infra.command_side import command_side
    from infra.program.progress import bar

    with command_side(settings) as side, bar() as progress:
        join = Signing(side, Passwords()).join
        imports = Imports(side.log, side.handler, side.accounts, join, side.importing)
        read = _counting(file, progress.phase("bytes", _size(file)))
        failed = 0
        for window in _windows((line for line in read if not line.isspace()), WINDOW):
            failed += await _answer(imports, window)
    return failed


async def _answer(imports: "Imports", window: list[bytes]) -> int:
    import msgspec

    results = await imports.run(window)
    out = sys.stdout.buffer
    out.writelines(msgspec.json.encode(result) + b"\n" for result in results)
    out.flush()
    if lost := [result for result in results if result.status == 503]:
        problem = lost[0].problem
        detail = problem.detail if problem else ""
        raise Plain(
            f"{detail}; the same import can be started again, lines with keys are done once"
        )
    return sum(result.status >= 400 for result in results)


def _windows(lines: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    while window := list(islice(lines, size)):
        yield window


def _counting(file: Iterable[bytes], tell: Callable[[float], None]) -> Iterator[bytes]:
    read = 0
    for line in file:
        yield line
        read += len(line)
        tell(read)


def _size(file: BinaryIO) -> int | None:
    """Bytes, where that is known: a pipe has no size."""
    from os import fstat
    from stat import S_ISREG

    try:
        status = fstat(file.fileno())
    except OSError:
        return None
    return status.st_size if S_ISREG(status.st_mode) else None
