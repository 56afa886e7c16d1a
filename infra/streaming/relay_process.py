"""The relay process of the streaming profile: publishes the log of a data folder to Kafka.

Of several relays of a log one publishes, the holder of a lease; the others stand by.
"""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Final

from infra.ids.machine_lease import (
    LeaseStore,
    LeaseStoreUnavailable,
    MachineLease,
    NoFreeMachine,
    lease_owner,
    renewing,
)
from infra.kafka.feed import KafkaFeed
from infra.kafka.topic import FeedTopic
from infra.log_of_record import open_log
from infra.mongodb.leases import MongoLeases
from infra.process.child_run import announce_ready, send_heartbeats
from infra.process.clock import clock_ms
from infra.process.supervisor import stop_on_signals
from infra.process.telemetry import begin_telemetry
from infra.settings import Settings
from infra.sqlite.leases import SqliteLeases
from streams.feed.kafka_address import KafkaAddress
from streams.feed.relay import Relay

LEASE_SECONDS: Final = 10.0
"""How long after a relay was killed another one goes on in its place."""

_RELAY_LEASE_IDS: Final = range(1024, 1025)
"""The right to publish is leased like a machine id; this number is beyond those that ids have."""

_logger = logging.getLogger(__name__)


async def run_relay(
    settings: Settings, servers: str, topic: FeedTopic, lifeline: int | None
) -> None:
    """Publish until SIGINT or SIGTERM, or until the lifeline's parent is gone."""
    send_heartbeats(lifeline)
    stop = asyncio.Event()
    stop_on_signals(stop.set, lifeline)
    settings.make_data_folder()
    begin_telemetry(settings, "relay")
    with open_log(settings) as log:
        announce_ready(lifeline)
        while (lease := await _wait_for_lease(settings, stop)) is not None:
            relay = Relay(
                log, lambda: KafkaFeed.open(servers, topic), lease.is_held, topic=topic.name
            )
            place = KafkaAddress.parse(servers)
            _logger.info("publishing %s to %s at %s", settings.data, topic.name, place)
            try:
                with renewing(lease, lambda until_ms: None):
                    await relay.run(stop)
            finally:
                _release_lease(lease)
            _logger.info("published up to position %d", relay.complete_to)


async def _wait_for_lease(settings: Settings, stop: asyncio.Event) -> MachineLease | None:
    """Wait for the right to publish; None if the relay was stopped first."""
    store, owner = _relay_leases(settings), f"relay {lease_owner()}"
    logged = ""
    while not stop.is_set():
        try:
            return MachineLease.acquire(
                store, owner, _RELAY_LEASE_IDS, clock_ms, time.monotonic, LEASE_SECONDS
            )
        except NoFreeMachine:
            reason = "standing by: another relay publishes"
        except LeaseStoreUnavailable as error:
            reason = f"standing by: {error}"
        if reason != logged:
            _logger.info(reason)
            logged = reason
        with suppress(TimeoutError):
            async with asyncio.timeout(LEASE_SECONDS / 5):
                await stop.wait()
    return None


def _relay_leases(settings: Settings) -> LeaseStore:
    """Where all relays of a log meet. Those of a log in SQLite are on its machine, and go on while
    MongoDB is away."""
    if settings.log_is_shared:
        return MongoLeases(settings.views)
    return SqliteLeases(settings.leases_file)


def _release_lease(lease: MachineLease) -> None:
    try:
        lease.release()
    except LeaseStoreUnavailable as error:
        _logger.warning("the next relay waits %d s: %s", LEASE_SECONDS, error)
