"""A relay in a process of its own, to be killed: LOG SERVERS TOPIC PARTITIONS BEAT_SECONDS.

Prints `open` once its log is open; ends at SIGTERM, in order.
"""

import asyncio
import signal
import sys
from pathlib import Path

from infra.kafka.feed import KafkaFeed
from infra.kafka.topic import FeedTopic
from infra.sqlite.event_log import SqliteLog
from streams.feed.relay import Relay


async def main(path: str, servers: str, name: str, partitions: str, watermark_seconds: str) -> None:
    log = SqliteLog(Path(path))
    topic = FeedTopic(name, int(partitions))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    relay = Relay(
        log, lambda: KafkaFeed.open(servers, topic), watermark_seconds=float(watermark_seconds)
    )
    await relay.run(stop)
    log.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
