"""What commands print: tables and JSON on stdout, lines about the work on stderr."""

import logging
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, cast

import click

from infra.process.logs import logs_are_json
from infra.process.terminal_text import escape_controls

MAX_EXACT_INTEGER: Final = 1 << 53
"""Integers beyond it are not exact for readers of JSON whose numbers are doubles."""

LEAST_FOLDED_WIDTH: Final = 20
"""A column that is folded to fit a terminal keeps as many characters."""

_BETWEEN_COLUMNS: Final = 3

_logger = logging.getLogger(__name__)


def echo(text: str = "", *, err: bool = False) -> None:
    """Print text for a person, whatever stands in it."""
    click.echo(escape_controls(text), err=err)


def echo_json(text: str) -> None:
    """Print a line of JSON: these characters for a program, the same value on a terminal."""
    click.echo(escape_controls(text) if sys.stdout.isatty() else text)


@contextmanager
def json_array() -> Iterator[Callable[[Any], None]]:
    """Print an array of JSON while its items come, one a line; what is entered takes each of them.

    Where an error ends it before, it stays without its end, so that it can't be taken for whole.
    """
    import msgspec

    out = open_stdout()
    before = b"[\n"

    def write(item: Any) -> None:
        nonlocal before
        out.write(before + msgspec.json.encode(item))
        before = b",\n"

    yield write
    out.write(b"\n]\n" if before == b",\n" else b"[]\n")
    out.flush()


def open_stdout() -> BinaryIO:
    """Where lines of JSON, and of CSV with JSON in it, are written as bytes in UTF-8."""
    out: BinaryIO = sys.stdout.buffer
    return cast(BinaryIO, _TerminalBytes(out)) if sys.stdout.isatty() else out


class _TerminalBytes:
    """A terminal, for those who write whole lines of bytes."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, lines: bytes) -> int:
        self._out.write(escape_controls(lines.decode(errors="replace")).encode())
        return len(lines)

    def writelines(self, lines: Iterable[bytes]) -> None:
        self.write(b"".join(lines))

    def flush(self) -> None:
        self._out.flush()


def echo_line(line: str) -> None:
    """Print a line about the work on stderr: a log record where this process writes JSON."""
    if logs_are_json():
        _logger.info("%s", line)
    else:
        echo(f"starling: {line}", err=True)


def exact_json(value: Any) -> Any:
    """A value for JSON: bytes as hex, and integers beyond 2^53, such as ids, as strings."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, int) and abs(value) > MAX_EXACT_INTEGER else value


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns, numbers to the right.

    On a terminal that is too narrow long texts are folded, as far as that leaves them readable;
    a table with more columns than fit is printed by `print_lines`.
    """
    rows = [tuple(row) for row in rows]
    columns = [escape_controls(column) for column in columns]
    cells = [tuple(escape_controls(str(cell)) for cell in row) for row in rows]
    natural = [max(map(_text_width, texts)) for texts in zip(columns, *cells, strict=True)]
    spread = sum(natural) + _BETWEEN_COLUMNS * len(natural)
    # A pipe has no width: what is read by programs must not be broken to fit a screen.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else spread
    least = [min(each, LEAST_FOLDED_WIDTH) for each in natural]
    if sum(least) + _BETWEEN_COLUMNS * len(least) > width:
        print_lines(columns, cells)
        return
    numbers = [_holds_numbers([row[place] for row in rows]) for place in range(len(columns))]
    _print_grid(list(zip(columns, numbers, least, strict=True)), cells, width)


def _holds_numbers(cells: Sequence[object]) -> bool:
    """Whether there are numbers in a column, and beside them nothing but empty cells."""
    filled = [cell for cell in cells if cell != ""]
    return bool(filled) and all(isinstance(cell, int | float) for cell in filled)


def print_lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print one field a line behind its name, and a blank line between two rows."""
    indent = max(map(len, columns), default=0) + _BETWEEN_COLUMNS
    for number, row in enumerate(rows):
        if number:
            echo()
        for column, value in zip(columns, row, strict=True):
            text = str(value).replace("\n", "\n" + " " * indent)
            echo(f"{column:<{indent}}{text}".rstrip())


def _print_grid(
    columns: Sequence[tuple[str, bool, int]], cells: Iterable[Sequence[str]], width: int
) -> None:
    """A table at most `width` wide. Columns are (name, whether of numbers, least width)."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, number, least in columns:
        table.add_column(
            name, justify="right" if number else "left", overflow="fold", min_width=least
        )
    for row in cells:
        table.add_row(*row)
    # What stands in a cell is text of users: neither [markup] nor :names: of emojis.
    Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False).print(table)


def _text_width(text: str) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, text.split("\n")))


def warn_of_left_out(positions: Sequence[int]) -> None:
    """Say on stderr which events of the log are in no table, if any."""
    if positions:
        named = ", ".join(map(str, positions[:10])) + (", ..." if len(positions) > 10 else "")
        count = "1 event doesn't" if len(positions) == 1 else f"{len(positions):,} events don't"
        echo(
            f"{count} decode and can't be a row (position {named}): "
            "`starling events verify` says why",
            err=True,
        )
