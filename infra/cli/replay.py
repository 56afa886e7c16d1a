"""`starling replay`: events out of the log, into files that other tools read."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infra.cli.errors import UserError
from infra.cli.options import data_option, settings_of_existing_log

if TYPE_CHECKING:
    from events.event_filter import EventBatchSource, EventFilter
    from events.log import EventLog
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
    follow: bool,
    speed: float | None,
    source: str,
    topic: str,
    **wanted: Any,
) -> None:
    """Write the events of the log, or those that all conditions select, in log order.

    TIME is RFC 3339 or a Snowflake id. JSONL, CSV and CloudEvents go to stdout or into one file;
    Parquet goes into a folder, in files of a date each (date=YYYY-MM-DD). An export with -o is
    gone on with by the same command: it appends what is new, and nothing twice. Its manifest says
    which events it holds.

    Example: starling replay --type post-created --from 2024-05-01T00:00:00Z -o posts.jsonl
    """
    from infra.cli.export import run_export
    from infra.log_of_record import open_log

    if form == "parquet" and (follow or speed):
        raise click.UsageError(
            "--follow and --speed write as they go, and a file of Parquet is written at its end: "
            "take another --format, or repeat the replay, which appends what is new"
        )
    how = ExportOptions(form, output, follow)
    settings = settings_of_existing_log(data=data)
    feed = None
    if source == "kafka":
        if follow:
            raise click.UsageError("--follow follows the log: leave out --source kafka")
        feed = _kafka_source(settings, topic)
    with open_log(settings) as log:
        selection = _build_filter(log, wanted)
        export = _open_export(log, selection, how)
        if not run_export(log, selection, export, follow=follow, speed=speed, source=feed):
            raise UserError(
                "interrupted" + ("; the same command goes on from there" if output else "")
            )
    if output is not None:
        click.echo(f"{output} has everything up to position {export.exported_through}", err=True)


def _kafka_source(settings: "Settings", topic: str) -> "EventBatchSource":
    from importlib.util import find_spec

    if settings.kafka is None:
        raise UserError("STARLING_KAFKA names no Kafka to read (host:port,...)", exit_code=2)
    if find_spec("kafka") is None:
        raise UserError("the packages of the streaming profile are not installed: use `make up`")
    from infra.kafka.topic_reader import topic_source

    return topic_source(settings.kafka, topic)


def _build_filter(log: "EventLog", wanted: dict[str, Any]) -> "EventFilter":
    from commands.errors import CommandRejected
    from commands.filter_parser import parse_filter
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
        return open_stream_export(how.format_name, sys.stdout.buffer)
    except ModuleNotFoundError as error:
        raise UserError(f"this needs {error.name}: pip install 'starling[analysis]'") from error
