"""The streaming runner: Faust workers that share the partitions of the feed between them.

All that is true of a chunk is in `streams.partitions`; this file is what Faust needs to know. A
message is acknowledged to Kafka once the stores hold its position, so that a worker that starts
has little to read again, and nothing at all rests on it.
"""

import asyncio
import logging
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import faust
from faust.types import TP

from projections.store import StoreUnavailable
from streams.chunks import Chunk, received
from streams.partitions import Gap, PartitionedView, Partitions

RETRY_SECONDS: Final = 0.5
"""How long to wait before a store that can't be reached is tried again."""

SESSION_SECONDS: Final = 10.0
"""How long after a worker was killed its partitions go to others."""

Views = Callable[[], AbstractAsyncContextManager[Sequence[PartitionedView]]]
"""Opens the views of one worker, on its event loop."""

_logger = logging.getLogger(__name__)


def build(servers: str, topic: str, group: str, views: Views) -> faust.App:
    """A Faust app that projects `topic`; workers of one `group` share its partitions."""
    app = faust.App(
        group,
        broker=[f"aiokafka://{server}" for server in servers.split(",")],
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
    worker = _Worker(app, topic, views)
    app.on_partitions_revoked.connect(worker.revoked, weak=False)
    app.agent(events, name=f"{group}-agent")(worker.follow)
    return app


def work(app: faust.App) -> None:
    """Run a worker until SIGTERM or Ctrl-C; ends with the process's exit status, 0 in order."""
    worker = faust.Worker(app, loglevel="WARNING", quiet=True, redirect_stdouts=False)
    worker.spinner = None  # a figure that turns, for a terminal, and ends up in log files
    with tempfile.TemporaryDirectory(prefix="starling-faust-") as folder:
        app.conf.datadir = Path(folder)  # it makes folders for tables, of which there are none
        worker.execute_from_commandline()


class _Worker:
    def __init__(self, app: faust.App, topic: str, views: Views) -> None:
        self._app, self._topic, self._views = app, topic, views
        self._partitions: Partitions | None = None
        self._unstored: defaultdict[int, list[Any]] = defaultdict(list)
        self._rewound: set[int] = set()

    async def follow(self, stream: Any) -> None:
        """The agent. What can't be tried again ends the worker, loudly; the next one to have its
        partitions begins where it was."""
        try:
            await self._follow(stream)
        except Exception as error:
            await self._app.crash(error)
            raise

    async def _follow(self, stream: Any) -> None:
        async with self._views() as views:
            self._partitions = Partitions(views, asyncio.get_running_loop().time)
            async for event in stream.noack().events():
                message = event.message
                headers = message.headers
                headers = headers.items() if isinstance(headers, dict) else headers or ()
                chunk, _ = received(message.partition, headers, message.value)
                await self._take(self._partitions, chunk, event)

    async def _take(self, partitions: Partitions, chunk: Chunk, event: Any) -> None:
        waiting = self._unstored[chunk.partition]
        while True:
            try:
                stored = await partitions.take(chunk)
                waiting.append(event)
                while stored and waiting:
                    waiting.pop().ack()
                return
            except StoreUnavailable as error:
                _logger.warning("trying again in %s s: %s", RETRY_SECONDS, error)
                await asyncio.sleep(RETRY_SECONDS)
            except Gap as gap:
                waiting.clear()
                await self._rewind(gap)
                return

    async def _rewind(self, gap: Gap) -> None:
        """Read a partition again whose store is behind Kafka's offset; a second time it is a hole
        in the topic, which the relay fills."""
        if gap.partition in self._rewound:
            return
        _logger.warning("reading the partition from its beginning: %s", gap)
        self._rewound.add(gap.partition)
        await self._app.consumer.seek_wait({TP(self._topic, gap.partition): 0})

    async def revoked(self, *given: Any, **_: Any) -> None:
        """Other workers have these partitions from now on."""
        numbers = [place.partition for place in given[1] if place.topic == self._topic]
        for number in numbers:
            self._unstored.pop(number, None)
            self._rewound.discard(number)
        if self._partitions is not None:
            self._partitions.forget(numbers)
