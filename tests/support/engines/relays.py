"""Relays for tests: beside the test, or in processes of their own."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from events.log import EventLog
from infra.kafka.feed import KafkaFeed
from infra.kafka.topic import FeedTopic
from streams.feed.relay import Relay
from tests.support.requirements import REPOSITORY
from tests.support.waiting import wait_until


@asynccontextmanager
async def running_relay(log: EventLog, servers: str, topic: FeedTopic) -> AsyncIterator[Relay]:
    """A relay that runs during the block and is stopped in order."""
    stop = asyncio.Event()
    relay = Relay(log, lambda: KafkaFeed.open(servers, topic))
    task = asyncio.create_task(relay.run(stop))
    try:
        yield relay
    finally:
        stop.set()
        await task


async def publish_log(log: EventLog, servers: str, topic: FeedTopic) -> None:
    """Publish what the log holds now."""
    async with running_relay(log, servers, topic) as relay:
        await wait_until(lambda: relay.complete_to >= log.head())


@contextmanager
def running_relay_process(
    log: Path, servers: str, topic: FeedTopic, watermark_seconds: float = 0.2
) -> Iterator["subprocess.Popen[str]"]:
    """A relay in a process of its own, killed at the end of the block if it still runs."""
    arguments = [str(log), servers, topic.name, str(topic.partitions), str(watermark_seconds)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.engines.relay_process", *arguments],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
