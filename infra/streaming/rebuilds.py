"""Rebuilds of views in MongoDB, each in a process of its own, which any process may start."""

import asyncio
import logging
import secrets

from infra.kafka.topic_reader import delete_consumer_group
from infra.mongodb.async_database import AsyncDatabase
from infra.mongodb.rebuild_records import MongoRebuildRecords
from infra.process.child import run_child
from infra.settings import Settings
from projections.projection import Projection
from streams.feed.relay import FeedUnavailable
from streams.rebuild.rebuild_record import RebuildInProgress, RebuildRecord

SWITCHED, FAILED, CANCELLED, IN_PROGRESS, PARENT_GONE = 0, 1, 3, 4, 5
"""Exit statuses of the process."""

_logger = logging.getLogger(__name__)


def consumer_group(record: RebuildRecord) -> str:
    """The consumer group of a rebuild."""
    return f"starling-rebuild-{record.store}"


async def forget_consumer_group(servers: str, record: RebuildRecord) -> None:
    """Delete the consumer group of a rebuild that has ended; where Kafka is away, it forgets the
    group by itself some days later."""
    try:
        await asyncio.to_thread(delete_consumer_group, servers, consumer_group(record))
    except FeedUnavailable as error:
        _logger.warning("%s", error)


async def announce_switched(projection: str) -> str:
    """For `RebuildJobs`: the process of a rebuild has switched to it when it ends."""
    return f"{projection} shows the rebuilt view"


class StreamingRebuildBackend:
    """`RebuildBackend` in MongoDB, from the feed."""

    def __init__(self, settings: Settings, database: AsyncDatabase) -> None:
        self._settings = settings
        self._rebuild_records = MongoRebuildRecords(database)

    async def begin_rebuild(self, projection: Projection, verify: bool) -> None:
        async with self._rebuild_records.lock_rebuild(projection.name):
            await self._rebuild_records.begin_or_resume(projection, verify)

    async def run_rebuild(self, projection: str, verify: bool) -> RebuildRecord | None:
        owner = secrets.token_hex(8)
        arguments = [projection, "--owner", owner, *(["--verify"] if verify else [])]
        try:
            status = await run_child(
                "infra.streaming.rebuild_process", arguments, self._settings.to_environment()
            )
        finally:
            await self._rebuild_records.unlock_rebuild(projection, owner)
        found = await self._rebuild_records.read(projection)
        if status == IN_PROGRESS:
            raise RebuildInProgress(f"{projection} is being rebuilt already")
        if status == SWITCHED:
            return RebuildRecord(
                projection=projection, version=0, store="", token="", state="ready"
            )
        if status == CANCELLED or (status == FAILED and found is None):
            return None
        if status == FAILED and found is not None and found.state == "failed":
            return found
        raise ChildProcessError(f"the rebuild of {projection} ended with status {status}")

    async def read_record(self, projection: str) -> RebuildRecord | None:
        return await self._rebuild_records.read(projection)

    async def delete_record(self, record: RebuildRecord) -> None:
        await self._rebuild_records.remove_record(record)

    async def discard_rebuild(self, record: RebuildRecord) -> None:
        async with self._rebuild_records.lock_rebuild(record.projection):
            await self._rebuild_records.discard_rebuild(record)
        if self._settings.kafka is not None:
            await forget_consumer_group(self._settings.kafka, record)
