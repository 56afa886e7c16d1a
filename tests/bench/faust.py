"""Faust workers that project everything into MongoDB, beside the same step without Kafka and Faust.

Engines, workers and this program share the machine. Workers wait on an empty topic, which is then
filled in one go; measured is from then until MongoDB has every view at the end of every partition.

What limits two workers on two cores is the cores: one worker and mongod were seen to take 1.45 of
them (48 and 60 us an event at 13,500 events/s), Kafka and the rest beside. A second worker has what
is left, and cores that both are busy were slower, each event 54 and 72 us.
"""

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from kafka.admin import KafkaAdminClient
from kafka.errors import CoordinatorNotAvailableError
from pymongo import MongoClient

from infra.dev.kafka_broker import KafkaBroker
from infra.dev.local_engine import running_engine
from infra.dev.mongodb_server import MongoServer
from infra.kafka.topic import FeedTopic
from infra.process.memory import collect_garbage_rarely
from infra.settings import Settings
from infra.sqlite.event_log import SqliteLog
from infra.streaming.worker import open_worker_views, worker_group
from projections.registry import ALL_PROJECTIONS
from streams.feed.chunks import Chunk
from streams.projecting.partition_queues import PartitionQueues
from streams.projecting.partitioned_runner import PartitionedRunner
from tests.bench import feed_topics
from tests.bench.result import Result
from tests.support.mission_workload import write_log

EVENTS: Final = 40_000
SINGLES: Final = 15_000
PATIENCE_SECONDS: Final = 300.0


class _FaustBench:
    """The engines, and a log in both forms."""

    def __init__(self, servers: str, mongodb: MongoServer, log: SqliteLog) -> None:
        self.servers = servers
        self.mongodb = mongodb
        self.chunks = feed_topics.chunks_of(log)
        self.events = log.read_all(limit=SINGLES)
        self.head = log.head()

    def new_database(self) -> str:
        """The address of a new one."""
        return self.mongodb.address(f"bench-{time.time_ns()}")


def measure(runs: int) -> list[Result]:
    """Events a second into all views; the rows of the table that need Kafka and MongoDB."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="starling-bench-")))
        log = SqliteLog(folder / "log.sqlite")
        asyncio.run(write_log(log, EVENTS, users=1000))
        broker = stack.enter_context(running_engine(KafkaBroker(folder / "kafka")))
        mongodb = stack.enter_context(running_engine(MongoServer(folder / "mongodb")))
        bench = _FaustBench(broker.address, mongodb, log)
        log.close()
        one, two, fed, counted = list[float](), list[float](), list[float](), list[float]()
        for run in range(-1, runs):  # the first warms the engines up
            measured = (
                _measure_workers(bench, 1),
                _measure_fed_from_memory(bench),
                _measure_counting_agent(bench),
                _measure_workers(bench, 2),
            )
            if run >= 0:
                for speeds, speed in zip((one, fed, counted, two), measured, strict=True):
                    speeds.append(speed)
    ours, unit = ("one Faust worker", one), "events/s"
    what = f"projecting into all {len(ALL_PROJECTIONS)} views in MongoDB"
    return [
        Result.from_runs(what, ours, ("the same step, fed from memory", fed), 0.8, unit),
        Result.from_runs(
            what, ours, ("a Faust agent that counts single events", counted), 0.7, unit
        ),
        Result.from_runs(what, ("two Faust workers", two), ours, 1.3, unit),
    ]


def _measure_workers(bench: _FaustBench, workers: int) -> float:
    topic, address = feed_topics.create_topic(bench.servers), bench.new_database()
    with ExitStack() as stack:
        for _ in range(workers):
            stack.enter_context(_running_worker(bench.servers, topic, address))
        _wait_until_joined(bench.servers, topic.name, address, workers)
        started = time.perf_counter()
        feed_topics.publish_chunks(bench.servers, topic, bench.chunks)
        _wait_until_stored(address, bench.head)
        took = time.perf_counter() - started
    return EVENTS / took


@contextmanager
def _running_worker(servers: str, topic: FeedTopic, address: str) -> Iterator[None]:
    """`starling work`, stopped in order at the end, so that the next one need not wait for it."""
    program = str(Path(sys.executable).with_name("starling"))
    settings = {"STARLING_KAFKA": servers, "STARLING_VIEWS": address}
    with subprocess.Popen(
        [program, "work", "--topic", topic.name], env={**os.environ, **settings}
    ) as process:
        try:
            yield
        finally:
            process.terminate()


def _wait_until_joined(servers: str, topic: str, address: str, workers: int) -> None:
    """Wait until that many workers share the topic and have opened their views."""
    wanted = {f"{one.name}_{one.version}.position" for one in ALL_PROJECTIONS}
    group_name = worker_group(topic)
    admin = KafkaAdminClient(bootstrap_servers=servers.split(","))
    with MongoClient[dict[str, Any]](address) as client:
        database = client.get_default_database()

        def joined() -> bool:
            try:
                group = admin.describe_groups([group_name])[group_name]
            except CoordinatorNotAvailableError:
                return False  # the broker makes its topic of groups at the first question
            return (
                group["group_state"] == "Stable"
                and len(group["members"]) == workers
                and wanted <= set(database.list_collection_names())
            )

        _wait_until(joined, pause=0.2)
    admin.close()
    time.sleep(1)  # the last of them may just have been told


def _wait_until_stored(address: str, head: int) -> None:
    """Wait until every view is there in every partition."""
    with MongoClient[dict[str, Any]](address) as client:
        database = client.get_default_database()
        views = [database[f"{one.name}_{one.version}.position"] for one in ALL_PROJECTIONS]

        def stored() -> bool:
            there = {"_id": {"$gte": 0}, "position": {"$gte": head}}
            return all(v.count_documents(there) == feed_topics.PARTITIONS for v in views)

        _wait_until(stored, pause=0.02)


def _wait_until(condition: Any, pause: float) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {PATIENCE_SECONDS:.0f} s")
        time.sleep(pause)


def _measure_fed_from_memory(bench: _FaustBench) -> float:
    before = gc.get_threshold()
    collect_garbage_rarely()  # as a worker does
    try:
        return asyncio.run(_feed_chunks(bench.new_database(), bench.chunks))
    finally:
        gc.set_threshold(*before)


async def _feed_chunks(address: str, chunks: Sequence[Chunk]) -> float:
    """As the worker does it: each partition in a queue of its own, where chunks gather."""
    async with open_worker_views(Settings(views=address), feed_topics.PARTITIONS, "") as look:
        everything = asyncio.get_running_loop().create_future()
        stored = 0

        def done(_token: Any) -> None:
            nonlocal stored
            stored += 1
            if stored == len(chunks):
                everything.set_result(None)

        async def rewind(partition: int, position: int) -> None:
            raise RuntimeError(f"something is missing in partition {partition}")

        queues = PartitionQueues(
            PartitionedRunner(look, time.monotonic), done, rewind, everything.set_exception
        )
        started = time.perf_counter()
        for chunk in chunks:
            await queues.put(chunk, None)
        await everything
        took = time.perf_counter() - started
        await queues.close()
    return EVENTS / took


def _measure_counting_agent(bench: _FaustBench) -> float:
    topic = feed_topics.create_topic(bench.servers)
    feed_topics.publish_singles(bench.servers, topic, bench.events)
    command = [sys.executable, "-m", "tests.bench.counting_agent", bench.servers, topic.name]
    counting = subprocess.run(
        [*command, str(SINGLES)], stdout=subprocess.PIPE, text=True, check=False,
        timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    return float(counting.stdout.split()[0])
