"""`starling relay`: the log to Kafka, for as long as it runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.program.options import data_option, settings_with
from infra.program.plain import Plain

if TYPE_CHECKING:
    import asyncio

    from infra.feeds.kafka_topic import Topic
    from infra.leases.lease import MachineLease
    from infra.settings import Settings

LEASE_SECONDS = 10.0
"""How long after a relay was killed another one goes on in its place."""

# The right to publish is leased like a machine id; this number is beyond those that ids have.
_TURN = range(1024, 1025)


@click.command()
@click.option("--topic", default="starling.events", show_default=True, help="Made at need.")
@click.option(
    "--partitions",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="Of a topic that is made now: at most so many workers project at once.",
)
@click.option(
    "--replication",
    type=click.IntRange(1, 9),
    default=1,
    show_default=True,
    help="Of a topic that is made now: brokers that keep each event.",
)
@click.option("--lifeline", type=int, hidden=True)
@data_option
def relay(
    topic: str, partitions: int, replication: int, lifeline: int | None, data: Path | None
) -> None:
    """Publish the log to Kafka (STARLING_KAFKA), and go on as it grows.

    Begins where the topic ends. Of several relays one publishes and the others stand by. Where
    Kafka can't be reached it is tried again. SIGTERM or Ctrl-C ends it in order.

    Example: starling relay --partitions 8
    """
    import asyncio
    import logging
    from importlib.util import find_spec

    settings = settings_with(data=data)
    if settings.kafka is None:
        raise Plain("STARLING_KAFKA names no Kafka to publish to (host:port,...)", exit_code=2)
    if find_spec("kafka") is None:
        raise Plain("the packages of the streaming profile are not installed: use `make up`")
    from infra.feeds.kafka_topic import Topic
    from infra.feeds.kept_memory import keep_freed_memory

    keep_freed_memory()
    logging.basicConfig(level=logging.INFO, format="starling: %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)  # it tells of each refused connection
    made = Topic(topic, partitions, replication)
    asyncio.run(_run(settings, settings.kafka, made, lifeline))


async def _run(settings: "Settings", servers: str, topic: "Topic", lifeline: int | None) -> None:
    import asyncio
    import logging
    import signal

    from infra.command_side import open_log
    from infra.feeds.kafka import KafkaFeed
    from infra.leases.leased import kept
    from infra.supervisor import watch_lifeline
    from streams.relay import Relay

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if lifeline is not None:
        watch_lifeline(lifeline, stop.set)
    settings.data.mkdir(parents=True, exist_ok=True)
    with open_log(settings) as log:
        while (lease := await _turn(settings, stop)) is not None:
            relay = Relay(log, lambda: KafkaFeed.open(servers, topic), lease.holds)
            logging.info("publishing %s to %s at %s", settings.data, topic.name, servers)
            try:
                with kept(lease, lambda until_ms: None):
                    await relay.run(stop)
            finally:
                _give_back(lease)
            logging.info("published up to position %d", relay.settled)


async def _turn(settings: "Settings", stop: "asyncio.Event") -> "MachineLease | None":
    """Wait for the right to publish; None where the relay was stopped first."""
    import asyncio
    import logging
    import os
    import socket
    import time

    from infra.command_side import clock_ms
    from infra.leases.lease import LeaseStoreDown, MachineLease, NoFreeMachine
    from infra.leases.sqlite import SqliteLeases

    store, owner = SqliteLeases(settings.leases_file), f"relay {socket.gethostname()}:{os.getpid()}"
    said = ""
    while not stop.is_set():
        try:
            return MachineLease.acquire(
                store, owner, _TURN, clock_ms, time.monotonic, LEASE_SECONDS
            )
        except NoFreeMachine:
            waits = "standing by: another relay publishes"
        except LeaseStoreDown as error:
            waits = f"standing by: {error}"
        if waits != said:
            logging.info(waits)
            said = waits
        await asyncio.wait([asyncio.ensure_future(stop.wait())], timeout=LEASE_SECONDS / 5)
    return None


def _give_back(lease: "MachineLease") -> None:
    import logging

    from infra.leases.lease import LeaseStoreDown

    try:
        lease.release()
    except LeaseStoreDown as error:
        logging.warning("the next relay waits %d s: %s", LEASE_SECONDS, error)
