"""`starling relay`, `up` and `down`: the streaming profile."""

import shlex
from pathlib import Path

import click

from infra.cli.errors import UserError, require_streaming_packages
from infra.cli.options import (
    data_option,
    metrics_port_option,
    process_settings,
    settings_with_options,
)
from infra.cli.output import echo, echo_line


@click.command()
@click.option("--topic", default="starling.events", show_default=True, help="Created if missing.")
@click.option(
    "--partitions",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="Of a topic that is created now: at most so many workers project at once.",
)
@click.option(
    "--replication",
    type=click.IntRange(1, 9),
    default=1,
    show_default=True,
    help="Of a topic that is created now: brokers that store each event.",
)
@click.option("--lifeline", type=int, hidden=True)
@metrics_port_option
@data_option
def relay(
    topic: str,
    partitions: int,
    replication: int,
    lifeline: int | None,
    metrics_port: int | None,
    data: Path | None,
) -> None:
    """Publish the log to Kafka, and go on as it grows.

    STARLING_KAFKA names it. Begins where the topic ends. Of several relays one publishes and the
    others stand by. While Kafka can't be reached, the relay tries again. SIGTERM or Ctrl-C ends it
    in order.

    Example: starling relay --partitions 8
    """
    import asyncio

    settings = process_settings("relay", data=data, metrics_port=metrics_port)
    if settings.kafka is None:
        raise UserError("STARLING_KAFKA names no Kafka to publish to (host:port,...)", exit_code=2)
    require_streaming_packages()
    from infra.kafka.topic import FeedTopic
    from infra.streaming.relay_process import run_relay

    feed_topic = FeedTopic(topic, partitions, replication)
    asyncio.run(run_relay(settings, settings.kafka, feed_topic, lifeline))


@click.command()
@click.option("--host", help="Where the API listens.  [default: STARLING_HOST, else 127.0.0.1]")
@click.option("--port", type=int, help="Its port.  [default: 8000]")
@data_option
def up(host: str | None, port: int | None, data: Path | None) -> None:
    """Start the streaming profile on this machine.

    Kafka, MongoDB, a relay, two Faust workers and two API processes, which are left running. Where
    STARLING_KAFKA or STARLING_VIEWS names an engine that runs already, that one is used. With
    STARLING_IDS=global an id server is started, unless STARLING_ID_SERVER names one. The API
    processes stand behind HAProxy if it is installed. An empty data folder gets a demo world. Other
    commands find the engines by the data folder while they run; what other programs need, passwords
    too, is in a file for a shell that is printed at the end. What dies is started again.

    Example: starling up --data /tmp/town
    """
    require_streaming_packages()
    from infra.dev.stack import start_stack

    settings = settings_with_options(host=host, port=port, data=data)
    started = start_stack(settings, echo_line)
    for name, place in started.places.items():
        echo(f"{name:20}{place}")
    echo(f". {shlex.quote(str(settings.exports_file.absolute()))}")
    echo_line("`starling down` ends it")


@click.command()
@data_option
def down(data: Path | None) -> None:
    """End what `starling up` started, and nothing else. Its data stays.

    Example: starling down --data /tmp/town
    """
    from infra.dev.stack_record import stop_stack

    if not stop_stack(settings_with_options(data=data), echo_line):
        echo_line("nothing was up")
