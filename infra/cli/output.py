"""What commands print: tables and JSON on stdout, lines about the work on stderr."""

import logging
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

from infra.process.logs import logs_are_json

MAX_EXACT_INTEGER: Final = 1 << 53
"""Integers beyond it are not exact for readers of JSON whose numbers are doubles."""

_logger = logging.getLogger(__name__)


def echo_line(line: str) -> None:
    """Print a line about the work on stderr: a log record where this process writes JSON."""
    if logs_are_json():
        _logger.info("%s", line)
    else:
        click.echo(f"starling: {line}", err=True)


def exact_json(value: Any) -> Any:
    """A value for JSON: bytes as hex, and integers beyond 2^53, such as ids, as strings."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, int) and abs(value) > MAX_EXACT_INTEGER else value


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns, numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        number = bool(rows) and all(isinstance(row[place], int) for row in rows)
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    # A pipe has no width: what is read by programs must not be broken to fit a screen.
    width = None if sys.stdout.isatty() else 200
    Console(file=sys.stdout, width=width, highlight=False).print(table)


def warn_of_left_out(positions: Sequence[int]) -> None:
    """Say on stderr which events of the log are in no table, if any."""
    if positions:
        named = ", ".join(map(str, positions[:10])) + (", ..." if len(positions) > 10 else "")
        count = "1 event doesn't" if len(positions) == 1 else f"{len(positions):,} events don't"
        click.echo(
            f"{count} decode and can't be a row (position {named}): "
            "`starling events verify` says why",
            err=True,
        )
