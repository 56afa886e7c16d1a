"""Relays for tests: beside the test, or in processes of their own."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from events.log import EventLog
from infra.feeds.kafka import KafkaFeed
from infra.feeds.kafka_topic import Topic
from streams.relay import Relay
from tests.outside import REPOSITORY

PATIENCE_SECONDS = 90.0


async def until(condition: Callable[[], bool], task: "asyncio.Task[None] | None" = None) -> None:
    """Wait for what another thread or process does."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            if task is not None and task.done():
                task.result()
                raise AssertionError("it ended by itself")
            await asyncio.sleep(0.02)


@asynccontextmanager
async def relaying(log: EventLog, servers: str, topic: Topic) -> AsyncIterator[Relay]:
    """A relay that runs during the block and is stopped in order."""
    stop = asyncio.Event()
    relay = Relay(log, lambda: KafkaFeed.open(servers, topic))
    task = asyncio.create_task(relay.run(stop))
    try:
        yield relay
    finally:
        stop.set()
        await task


async def relay_all(log: EventLog, servers: str, topic: Topic) -> None:
    """Publish what the log holds now."""
    async with relaying(log, servers, topic) as relay:
        await until(lambda: relay.settled >= log.head())


@contextmanager
def relay_process(
    log: Path, servers: str, topic: Topic, beat_seconds: float = 0.2
) -> Iterator["subprocess.Popen[str]"]:
    """A relay in a process of its own, killed at the end of the block if it still runs."""
    arguments = [str(log), servers, topic.name, str(topic.partitions), str(beat_seconds)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engines.relay_process", *arguments],
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
