"""`starling replay`, `restore` and `events`: the log out into files, back in, and checked."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from infra.cli.errors import UserError, missing_package, require_streaming_packages
from infra.cli.options import (
    data_option,
    json_option,
    settings_of_existing_log,
    settings_with_options,
)
from infra.cli.output import echo, echo_json, json_array, open_stdout, warn_of_left_out

if TYPE_CHECKING:
    from events.event_filter import EventBatchSource, EventFilter
    from events.log import EventLog
    from events.sealed_text import OpenText
    from infra.settings import Settings
    from streams.export.replay import Export

FORMATS = ("jsonl", "csv", "parquet", "cloudevents")


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """In what form and where to."""

    format_name: str
    output: Path | None
    follow: bool


@click.command()
@click.option("--after", metavar="POSITION", help="Only events behind this position.")
@click.option("--from", "since", metavar="TIME", help="Only events of this time and later.")
@click.option("--to", metavar="TIME", help="Only events before this time.")
@click.option("--type", "types", metavar="T", multiple=True, help="Only this type; repeatable.")
@click.option("--user", metavar="REF", help="Only what this user did: an id or @handle.")
@click.option("--stream", metavar="S", help="Only this stream, such as post-123.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="jsonl", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File or folder; not stdout.")
@click.option("--with-media", is_flag=True, help="Copy images, too, into OUTPUT.media.")
@click.option("--follow", is_flag=True, help="Go on with events as they happen, until Ctrl-C.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="In recorded time, X times as fast.",
)
@click.option(
    "--source",
    type=click.Choice(("log", "kafka")),
    default="log",
    show_default=True,
    help="kafka: from the topic of STARLING_KAFKA, the same bytes.",
)
@click.option("--topic", default="starling.events", show_default=True, help="For --source kafka.")
@data_option
def replay(
    data: Path | None,
    form: str,
    output: Path | None,
    with_media: bool,
    follow: bool,
    speed: float | None,
    source: str,
    topic: str,
    **wanted: Any,
) -> None:
    """Write the events of the log, or a selection of them.

    Those that all conditions select, in log order. TIME is RFC 3339 or a Snowflake id. JSONL, CSV
    and CloudEvents go to stdout or into one file; Parquet goes into a folder, in files of a date
    each (date=YYYY-MM-DD). An export with -o is gone on with by the same command: it appends what
    is new, and nothing twice. Its manifest says which events it holds. With --with-media it also
    takes along the images that these show and that are still kept; `starling restore` puts them
    back.

    Example: starling replay --type post-created --from 2024-05-01T00:00:00Z -o posts.jsonl
    """
    from infra.log_of_record import open_log_for_questions, open_text_reader

    how = ExportOptions(form, output, follow)
    _check_options(how, with_media, speed)
    settings = settings_of_existing_log(data=data)
    feed = None
    if source == "kafka":
        if follow:
            raise click.UsageError("--follow follows the log: leave out --source kafka")
        feed = _kafka_source(settings, topic)
    with (
        open_log_for_questions(settings) as log,
        open_text_reader(settings, log) as open_text,
    ):
        selection = _build_filter(log, wanted)
        export = _open_export(log, selection, how)
        if not _run_export(
            log, selection, export, open_text, follow=follow, speed=speed, source=feed
        ):
            raise UserError(
                "interrupted" + ("; the same command goes on from there" if output else "")
            )
        if with_media and output is not None:
            _copy_media(settings, log, selection, export.exported_through, output)
    warn_of_left_out(getattr(export, "left_out", ()))
    if output is not None:
        echo(f"{output} has everything up to position {export.exported_through}", err=True)


def _check_options(how: ExportOptions, with_media: bool, speed: float | None) -> None:
    if how.format_name == "parquet" and (how.follow or speed):
        raise click.UsageError(
            "--follow and --speed write as they go, and a file of Parquet is written at its end: "
            "take another --format, or repeat the replay, which appends what is new"
        )
    if with_media and (how.output is None or how.follow):
        raise click.UsageError("--with-media needs -o, and copies what there is: no --follow")


def _copy_media(
    settings: "Settings", log: "EventLog", selection: "EventFilter", through: int, output: Path
) -> None:
    from infra.cli.exported_media import export_media, folder_beside

    folder = folder_beside(output)
    count, gone = export_media(settings, log, selection, through, folder)
    without = f"; no longer kept: {gone:,}" if gone else ""
    echo(f"{_images(count)} copied into {folder}{without}", err=True)


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def _kafka_source(settings: "Settings", topic: str) -> "EventBatchSource":
    if settings.kafka is None:
        raise UserError("STARLING_KAFKA names no Kafka to read (host:port,...)", exit_code=2)
    require_streaming_packages()
    from infra.kafka.topic_reader import topic_source

    return topic_source(settings.kafka, topic)


def _build_filter(log: "EventLog", wanted: dict[str, Any]) -> "EventFilter":
    from commands.errors import CommandRejected
    from commands.event_filter_parser import parse_filter
    from commands.references import ReferenceResolver

    try:
        return parse_filter(ReferenceResolver(log), **wanted)
    except CommandRejected as error:
        raise click.UsageError(str(error)) from error


def _open_export(log: "EventLog", selection: "EventFilter", how: ExportOptions) -> "Export":
    from streams.export.replay import open_path_export, open_stream_export

    try:
        if how.output is not None:
            return open_path_export(how.format_name, how.output, selection, log, growing=how.follow)
        if how.format_name == "parquet" and sys.stdout.isatty():
            raise click.UsageError("Parquet is not for terminals: name a folder with -o")
        return open_stream_export(how.format_name, open_stdout())
    except ModuleNotFoundError as error:
        raise missing_package(error, "analysis") from error


def _run_export(
    log: "EventLog",
    selection: "EventFilter",
    export: "Export",
    open_text: "OpenText",
    *,
    follow: bool,
    speed: float | None,
    source: "EventBatchSource | None" = None,
) -> bool:
    """Replay the log, with a progress bar on a terminal; False if it was interrupted.

    `source` gives the log's events instead of the log. An export that follows ends only by Ctrl-C
    or SIGTERM, and is then complete.
    """
    import asyncio

    try:
        asyncio.run(_export_events(log, selection, export, open_text, follow, speed, source))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return follow
    return True


async def _export_events(
    log: "EventLog",
    selection: "EventFilter",
    export: "Export",
    open_text: "OpenText",
    follow: bool,
    speed: float | None,
    source: "EventBatchSource | None",
) -> None:
    import asyncio
    import signal
    from time import monotonic

    from events.event_filter import EventFilter, events_from_log, lines_from_log
    from events.sealed_text import open_source
    from infra.cli.progress import progress_bar
    from streams.export.line_export import LineStream
    from streams.export.replay import Pace, StoredLineExport, replay_events

    if follow:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    start = max(export.exported_through, selection.after)
    sleep: Callable[[float], Any] = asyncio.sleep
    whole = selection == EventFilter(after=selection.after)
    if source is None and whole and speed is None and isinstance(export, StoredLineExport):
        source = lines_from_log(log, follow=follow)
    # On a terminal the events themselves show how far it is, and a bar would stand among them.
    to_terminal = isinstance(export, LineStream) and sys.stdout.isatty()
    scale = log.features.estimate_events
    with progress_bar(shown=not to_terminal) as progress:
        advance = progress.begin_phase("events", None if follow else scale(start, log.head()))
        await replay_events(
            open_source(source or events_from_log(log, follow=follow), open_text),
            selection,
            export,
            report_progress=lambda position: advance(scale(start, position)),
            pace=None if speed is None else Pace(speed, sleep, monotonic),
            live=follow,
        )


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--sparse", is_flag=True, help="FILE is all of a log whose positions have holes (EventStoreDB)."
)
@data_option
def restore(file: BinaryIO, sparse: bool, data: Path | None) -> None:
    """Put the events of an export into an empty log.

    FILE (- for stdin) is what `starling replay` wrote: it is JSONL of all events of a log; a
    selection is refused. Every line is checked before the first one is restored; a pipe is copied
    to TMPDIR for that. Events keep their ids, order, streams and versions, so every read model
    comes out the same. A restore that broke off is simply started again. Images are put back first,
    where FILE.media has them (`starling replay --with-media`). Not restored, because no log holds
    them: emails and passwords (data/accounts.sqlite), and the keys of imports, whose lines would be
    done again.

    Example: starling restore events.jsonl --data new
    """
    import asyncio

    from infra.cli.progress import progress_bar
    from infra.encryption.text_cipher import TextCipher
    from infra.log_of_record import open_log, open_text_keys
    from streams.export.restore import (
        check_export,
        check_whole_export,
        parse_export,
        restore_events,
    )

    if file.name != "<stdin>":
        check_whole_export(Path(file.name))
    settings = settings_with_options(data=data)
    with _readable_twice(file) as whole:
        check_export(whole, sparse=sparse)
        whole.seek(0)
        settings.make_data_folder()
        _restore_media(settings, file)
        with (
            open_log(settings) as log,
            open_text_keys(settings, log) as keys,
            progress_bar() as progress,
        ):
            report_progress = progress.begin_phase("events", None)
            cipher = TextCipher(keys)
            count = asyncio.run(
                restore_events(
                    log, parse_export(whole), report_progress, cipher.seal, cipher.open_text
                )
            )
    echo(f"{count:,} events restored", err=True)


def _restore_media(settings: "Settings", export: BinaryIO) -> None:
    from infra.cli.exported_media import folder_beside, restore_media

    folder = folder_beside(Path(export.name))
    if export.name != "<stdin>" and folder.is_dir():
        echo(f"{_images(restore_media(settings, folder))} restored", err=True)


@contextmanager
def _readable_twice(file: BinaryIO) -> "Iterator[BinaryIO]":
    """The file, or a copy of what comes through a pipe."""
    if file.seekable():
        yield file
        return
    with TemporaryFile(prefix="starling-") as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield copy


@click.group()
def events() -> None:
    """Look at the log of record."""


@events.command()
@data_option
@json_option
def verify(data: Path | None, as_json: bool) -> None:
    """Check that the log is whole.

    Prints what is wrong, a finding a line. Positions ascend, ids are unique, the versions of every
    stream have no holes, every event decodes and stands in its own stream, and the users and posts
    that it speaks of are there. No stream is truncated or deleted in EventStoreDB. Works while a
    server runs. Exit status 1: findings.

    Example: starling events verify --data data
    """
    from events.log import LOG_START
    from infra.cli.progress import progress_bar
    from infra.log_of_record import open_log_for_questions
    from streams.export.verify import verify_log

    found, events = 0, 0
    with (
        open_log_for_questions(settings_of_existing_log(data=data)) as log,
        progress_bar() as progress,
    ):
        advance = progress.begin_phase("events", None)

        def report_page(position: int, head: int) -> None:
            nonlocal events
            events = head
            advance(log.features.estimate_events(LOG_START, position))

        with json_array() if as_json else nullcontext(_print_finding) as write:
            for finding in verify_log(log, report_page, references=True):
                found += 1
                write(finding._asdict())
    result = f"{found} findings" if found else "the log is whole"
    echo(f"checked up to position {events}: {result}", err=True)
    if found:
        raise click.exceptions.Exit(1)


def _print_finding(finding: "dict[str, Any]") -> None:
    echo(f"{finding['position']}: {finding['what']}")


@events.command()
def schema() -> None:
    """Print the AsyncAPI document of all types of events.

    Example: starling events schema > asyncapi.json
    """
    from importlib.metadata import version

    from streams.export.asyncapi import build_document

    echo_json(json.dumps(build_document(version("starling-feed")), indent=2, ensure_ascii=False))
