"""The relay to a real Kafka, against what it has to carry and a plain loop that sends its chunks.

The relay has to carry 50 times the events that the mission makes at its peak. The loop hands the
same producer (acks=all, idempotent, zstd) the same chunks, which lie ready in memory; the relay
reads the log, makes lines of its events and splits them into chunks besides. Both end with the last
acknowledgement, and each is a process of its own.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra.dev.kafka_broker import KafkaBroker
from infra.dev.local_engine import running_engine
from infra.kafka.feed import KafkaFeed, create_producer
from infra.kafka.topic import FeedTopic, ensure_topic
from infra.sqlite.event_log import SqliteLog
from streams.feed.chunks import Chunk, FeedState, split_into_chunks
from streams.feed.relay import READ_EVENTS, Relay
from tests.bench.result import Result
from tests.support.mission_workload import write_log

EVENTS: Final = 400_000
PARTITIONS: Final = 8
WANTED: Final = 170_000.0
"""Events a second: 50 times the 3,400 of the mission's peak."""


def measure(runs: int) -> list[Result]:
    """Events a second from a log in SQLite into a topic of eight partitions."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.sqlite"
        log = SqliteLog(path)
        asyncio.run(write_log(log, EVENTS, users=2000))
        log.close()
        with running_engine(KafkaBroker(Path(folder) / "kafka")) as broker:
            relayed, looped = list[float](), list[float]()
            for run in range(-1, runs):  # the first warms the broker up
                measured = [_run_in_process(how, path, broker.address) for how in ("relay", "loop")]
                if run >= 0:
                    for speeds, speed in zip((relayed, looped), measured, strict=True):
                        speeds.append(speed)
    return [
        Result.from_runs(
            "log to Kafka",
            ("starling relay", relayed),
            ("50 times the mission's peak", [WANTED] * runs),
            target=1.0,
            unit="events/s",
        ),
        Result.from_runs(
            "log to Kafka",
            ("starling relay", relayed),
            ("a loop over kafka-python's send, the same chunks from memory", looped),
            target=0.5,
            unit="events/s",
        ),
    ]


def _run_in_process(how: str, path: Path, servers: str) -> float:
    command = [sys.executable, "-m", "tests.bench.relay", how, str(path), servers]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _topic() -> FeedTopic:
    return FeedTopic(f"bench-{time.time_ns()}", PARTITIONS)


def _chunks(log: SqliteLog) -> list[Chunk]:
    ends, chunks, position = [0] * PARTITIONS, list[Chunk](), 0
    while (read := log.read_owned_lines(position, limit=READ_EVENTS)).lines:
        position = read.position_at(-1)
        chunks += split_into_chunks(read, ends, position)
    return chunks


class _StopAtEndLog(SqliteLog):
    """A log that says when it has been read to its end, where the relay would go to sleep."""

    def __init__(self, path: Path, stop: asyncio.Event) -> None:
        super().__init__(path)
        self._stop = stop

    async def wait_for_events(self, after: int, timeout: float) -> bool:
        """Nothing will come."""
        self._stop.set()
        return False


class _TimedFeed(KafkaFeed):
    """Notes when everything was acknowledged: closing is not sending."""

    ended = 0.0

    async def close(self) -> None:
        """As the feed."""
        self.ended = time.perf_counter()
        await super().close()


async def _measure_relay(path: Path, servers: str) -> float:
    stop, topic = asyncio.Event(), _topic()
    feed = await _TimedFeed.open(servers, topic)

    async def opened() -> _TimedFeed:
        return feed

    ending = _StopAtEndLog(path, stop)
    started = time.perf_counter()
    await Relay(ending, opened).run(stop)
    ending.close()
    return EVENTS / (feed.ended - started)


def _send_chunks(chunks: Sequence[Chunk], servers: str) -> float:
    topic = _topic()
    ensure_topic(servers, topic)
    client = create_producer(servers)
    client.partitions_for(topic.name)
    started = time.perf_counter()
    for chunk in chunks:
        client.send(
            topic.name, chunk.lines, b"%d" % chunk.key, chunk.headers(FeedState()), chunk.partition
        )
    client.flush()
    took = time.perf_counter() - started
    client.close()
    return EVENTS / took


def _main(how: str, path: str, servers: str) -> float:
    """Events a second of one run."""
    if how == "relay":
        return asyncio.run(_measure_relay(Path(path), servers))
    log = SqliteLog(Path(path))
    chunks = _chunks(log)
    log.close()
    return _send_chunks(chunks, servers)


if __name__ == "__main__":
    print(_main(*sys.argv[1:]))
