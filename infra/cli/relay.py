"""`starling relay`: the log to Kafka, for as long as it runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli.errors import UserError
from infra.cli.options import data_option, settings_with_options

if TYPE_CHECKING:
    import asyncio

    from infra.ids.machine_lease import MachineLease
    from infra.kafka.topic import FeedTopic
    from infra.settings import Settings

LEASE_SECONDS = 10.0
"""How long after a relay was killed another one goes on in its place."""

# The right to publish is leased like a machine id; this number is beyond those that ids have.
_RELAY_LEASE_IDS = range(1024, 1025)


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

    settings = settings_with_options(data=data)
    if settings.kafka is None:
        raise UserError("STARLING_KAFKA names no Kafka to publish to (host:port,...)", exit_code=2)
    if find_spec("kafka") is None:
        raise UserError("the packages of the streaming profile are not installed: use `make up`")
    from infra.kafka.topic import FeedTopic
    from infra.process.memory import keep_freed_memory

    keep_freed_memory()
    logging.basicConfig(level=logging.INFO, format="starling: %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)  # it tells of each refused connection
    made = FeedTopic(topic, partitions, replication)
    asyncio.run(_run_relay(settings, settings.kafka, made, lifeline))


async def _run_relay(
    settings: "Settings", servers: str, topic: "FeedTopic", lifeline: int | None
) -> None:
    import asyncio
    import logging
    import signal

    from infra.ids.machine_lease import renewing
    from infra.kafka.feed import KafkaFeed
    from infra.log_of_record import open_log
    from infra.process.supervisor import watch_lifeline
    from streams.feed.relay import Relay

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if lifeline is not None:
        watch_lifeline(lifeline, stop.set)
    settings.data.mkdir(parents=True, exist_ok=True)
    with open_log(settings) as log:
        while (lease := await _wait_for_lease(settings, stop)) is not None:
            relay = Relay(log, lambda: KafkaFeed.open(servers, topic), lease.is_held)
            logging.info("publishing %s to %s at %s", settings.data, topic.name, servers)
            try:
                with renewing(lease, lambda until_ms: None):
                    await relay.run(stop)
            finally:
                _release_lease(lease)
            logging.info("published up to position %d", relay.complete_to)


async def _wait_for_lease(settings: "Settings", stop: "asyncio.Event") -> "MachineLease | None":
    """Wait for the right to publish; None where the relay was stopped first."""
    import asyncio
    import logging
    import os
    import socket
    import time

    from infra.ids.machine_lease import LeaseStoreUnavailable, MachineLease, NoFreeMachine
    from infra.process.clock import clock_ms
    from infra.sqlite.leases import SqliteLeases

    store, owner = SqliteLeases(settings.leases_file), f"relay {socket.gethostname()}:{os.getpid()}"
    said = ""
    while not stop.is_set():
        try:
            return MachineLease.acquire(
                store, owner, _RELAY_LEASE_IDS, clock_ms, time.monotonic, LEASE_SECONDS
            )
        except NoFreeMachine:
            waits = "standing by: another relay publishes"
        except LeaseStoreUnavailable as error:
            waits = f"standing by: {error}"
        if waits != said:
            logging.info(waits)
            said = waits
        await asyncio.wait([asyncio.ensure_future(stop.wait())], timeout=LEASE_SECONDS / 5)
    return None


def _release_lease(lease: "MachineLease") -> None:
    import logging

    from infra.ids.machine_lease import LeaseStoreUnavailable

    try:
        lease.release()
    except LeaseStoreUnavailable as error:
        logging.warning("the next relay waits %d s: %s", LEASE_SECONDS, error)
