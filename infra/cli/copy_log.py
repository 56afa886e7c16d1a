"""`starling copy-log`: a log from one adapter into another."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from infra.cli.errors import UserError
from infra.cli.options import data_option, settings_with_options
from infra.cli.output import echo_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from events.envelope import StoredEvent
    from events.log import EventLog
    from events.sealed_text import OpenText
    from infra.settings import Settings

PAGE_EVENTS: Final = 1000


@click.command("copy-log")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@data_option
def copy_log(source: str, target: str, data: Path | None) -> None:
    """Copy the log FROM into the log TO.

    TO is empty, or holds the beginning of FROM. Each is a data folder, whose log is in SQLite, or
    the address of an EventStoreDB. With an address go the text keys of STARLING_VIEWS, where that
    is a MongoDB, or of the data folder of --data. Events keep their ids, times, order, streams and
    versions; texts are sealed anew under the keys of TO, so what was erased stays erased. A copy
    that broke off is simply started again. At the end both logs are read and compared; what came
    into FROM meanwhile is copied, too, so a last run after its writers were stopped leaves nothing
    behind. Exit status 1 where they differ.

    Not copied, because they are no events: accounts, and the keys of imports and of requests.

    Example: starling copy-log data "esdb://localhost:2113?tls=false" --data new
    """
    import asyncio

    from infra.log_of_record import describe_log, log_is_missing

    origin, goal = _settings_of(source, data), _settings_of(target, data)
    if describe_log(origin) == describe_log(goal):
        raise UserError(f"FROM and TO are the same log, {describe_log(goal)}", exit_code=2)
    if log_is_missing(origin):
        raise UserError(f"there is no log in {origin.data}: name another folder as FROM")
    goal.make_data_folder()
    copied = asyncio.run(_copy_until_same(origin, goal))
    echo_line(f"copied {copied:,} events; {describe_log(goal)} holds all of {describe_log(origin)}")


def _settings_of(place: str, data: Path | None) -> "Settings":
    if "://" in place:
        return settings_with_options(log=place, data=data)
    return settings_with_options(log="sqlite", data=Path(place))


async def _copy_until_same(origin: "Settings", goal: "Settings") -> int:
    """Copy, and compare, until a comparison finds nothing more to copy; how many were copied."""
    from infra.cli.progress import progress_bar
    from infra.encryption.text_cipher import TextCipher
    from infra.log_of_record import (
        open_log,
        open_log_for_questions,
        open_text_keys,
        open_text_reader,
    )
    from streams.export.restore import CannotRestore, restore_events

    with (
        open_log_for_questions(origin) as source,
        open_text_reader(origin, source) as open_text,
        open_log(goal) as target,
        open_text_keys(goal, target) as keys,
        progress_bar() as progress,
    ):
        cipher = TextCipher(keys)
        copied = 0
        while True:
            events = _all_events(source, open_text)
            report = progress.begin_phase("events", None)
            try:
                new = await restore_events(target, events, report, cipher.seal, cipher.open_text)
            except CannotRestore as error:
                raise UserError(f"TO is no copy of FROM, and can't become one: {error}") from error
            copied += new
            if not new:
                return copied


def _all_events(log: "EventLog", open_text: "OpenText") -> "Iterator[StoredEvent]":
    from events.event_filter import read_pages
    from events.log import LOG_START
    from events.sealed_text import open_stored

    for page in read_pages(log, LOG_START, log.head(), limit=PAGE_EVENTS):
        for event in page.events:
            yield open_stored(event, open_text)
