"""The streaming runner: Faust workers that share the partitions of the feed between them.

This file only connects Faust to `streams.projecting.partition_queues` and
`streams.projecting.partitioned_runner`, which apply the chunks. A message is acknowledged to Kafka
once the stores hold its position, so that a worker that starts has little to read again; nothing
else relies on it.
"""

import asyncio
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from operator import methodcaller
from pathlib import Path
from typing import Any, Final

import faust
from faust.types import TP

from streams.feed.chunks import Chunk, FeedState, decode_record
from streams.feed.kafka_address import KafkaAddress
from streams.projecting.partition_queues import OffsetFinder, PartitionQueues, offset_of_beginning
from streams.projecting.partitioned_runner import PartitionedRunner, ViewProvider

SESSION_SECONDS: Final = 10.0
"""How long after a worker was killed its partitions go to others."""

OpenViews = Callable[[], AbstractAsyncContextManager[ViewProvider]]
"""Opens the views of one worker, on its event loop."""

WatchFeed = Callable[[Chunk, FeedState], Awaitable[None]]
"""Called with each chunk and the state that it was sent in, before the chunk is applied."""


async def _watch_nothing(chunk: Chunk, state: FeedState) -> None:
    pass


def build_app(
    servers: str,
    topic: str,
    group: str,
    open_views: OpenViews,
    find_offset: OffsetFinder = offset_of_beginning,
    watch_feed: WatchFeed = _watch_nothing,
) -> faust.App:
    """A Faust app that projects `topic`; workers of one `group` share its partitions.

    `servers` is an address as `KafkaAddress` reads it. What `watch_feed` raises ends the worker.
    """
    address = KafkaAddress.parse(servers)
    app = faust.App(
        group,
        broker=[f"aiokafka://{server}" for server in address.servers],
        broker_credentials=_credentials(address),
        store="memory://",
        web_enabled=False,
        autodiscover=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_ack_cancelled_tasks=False,
        stream_ack_exceptions=False,
        stream_wait_empty=False,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=0.5,
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=SESSION_SECONDS / 4,
    )
    events = app.topic(
        topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
    worker = _FaustWorker(app, topic, open_views, find_offset, watch_feed)
    app.on_partitions_assigned.connect(worker.on_partitions_assigned, weak=False)
    app.on_partitions_revoked.connect(worker.on_partitions_revoked, weak=False)
    app.agent(events, name=f"{group}-agent")(worker.consume_chunks)
    return app


def _credentials(address: KafkaAddress) -> Any:
    context = ssl.create_default_context() if address.tls else None
    if address.user is None:
        return None if context is None else faust.SSLCredentials(context)
    return faust.SASLCredentials(
        username=address.user,
        password=address.password,
        mechanism=address.mechanism,
        ssl_context=context,
    )


def run_worker(app: faust.App) -> None:
    """Run a worker until SIGTERM or Ctrl-C; ends with the process's exit status, 0 in order."""
    worker = faust.Worker(
        app, quiet=True, redirect_stdouts=False, override_logging=False, loglevel="WARNING"
    )
    worker.spinner = None  # an animation for terminals, which would end up in log files
    with tempfile.TemporaryDirectory(prefix="starling-faust-") as folder:
        app.conf.datadir = Path(folder)  # for tables, which Faust makes folders for without any
        worker.execute_from_commandline()


class _FaustWorker:
    def __init__(
        self,
        app: faust.App,
        topic: str,
        open_views: OpenViews,
        find_offset: OffsetFinder,
        watch_feed: WatchFeed,
    ) -> None:
        self._app, self._topic = app, topic
        self._open_views, self._find_offset = open_views, find_offset
        self._watch_feed = watch_feed
        self._queues: PartitionQueues | None = None
        self._assigned_partitions: set[int] = set()

    async def consume_chunks(self, stream: Any) -> None:
        """The agent: puts every chunk into the queue of its partition."""
        try:
            async with self._open_views() as current_views:
                runner = PartitionedRunner(current_views, asyncio.get_running_loop().time)
                self._queues = PartitionQueues(
                    runner, methodcaller("ack"), self._seek_consumer, self._crash_app
                )
                for partition in self._assigned_partitions:
                    self._queues.open(partition)
                try:
                    async for event in stream.noack().events():
                        message = event.message
                        headers = message.headers or ()
                        chunk, state = decode_record(message.partition, headers, message.value)
                        await self._watch_feed(chunk, state)
                        await self._queues.put(chunk, event)
                finally:
                    await self._queues.close()
        except Exception as error:
            self._crash_app(error)
            raise

    def _crash_app(self, error: BaseException) -> None:
        """An error that can't be retried ends the worker; the next one to get its partitions
        begins where it was."""
        self._crashing = asyncio.ensure_future(self._app.crash(error))

    async def _seek_consumer(self, partition: int, position: int) -> None:
        offset = await self._find_offset(partition, position) if position else 0
        await self._app.consumer.seek_wait({TP(self._topic, partition): offset})

    async def on_partitions_assigned(self, *given: Any, **_: Any) -> None:
        """This worker gets these partitions, beside those that it has."""
        numbers = self._partitions_of_topic(given[1])
        self._assigned_partitions.update(numbers)
        if self._queues is not None:
            for number in numbers:
                self._queues.open(number)

    async def on_partitions_revoked(self, *given: Any, **_: Any) -> None:
        """Other workers get these partitions."""
        numbers = self._partitions_of_topic(given[1])
        self._assigned_partitions.difference_update(numbers)
        if self._queues is not None:
            await self._queues.close(numbers)

    def _partitions_of_topic(self, partitions: Iterable[TP]) -> list[int]:
        return [one.partition for one in partitions if one.topic == self._topic]
