"""Where the views of a profile are rebuilt: see `streams.rebuild.jobs.Workshop`."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from infra.cli.projection_names import projection_named
from infra.embedded import rebuilds
from infra.embedded.admin_commands import run_admin_command
from infra.settings import InvalidSetting, Settings
from infra.sqlite.view_files import ViewFiles
from streams.rebuild.admin import AdminCommand, AdminResult
from streams.rebuild.jobs import RebuildBackend
from streams.rebuild.rebuild_record import RebuildInProgress, RebuildRecord

if TYPE_CHECKING:
    from infra.mongodb.connection import Database

CANCEL_TIMEOUT_SECONDS: Final = 30.0
"""For a rebuild to notice that it was taken back."""


class EmbeddedRebuildBackend:
    """Views in the files of a data folder. A running projector switches to them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._view_files = ViewFiles(settings.views_folder)

    async def run_rebuild(self, projection: str, verify: bool) -> RebuildRecord | None:
        """As the port says."""
        return await rebuilds.run_rebuild(self._settings, projection, verify)

    async def switch_to_rebuilt(self, projection: str) -> AdminResult:
        """As the port says."""
        return await run_admin_command(self._settings, AdminCommand("switch", projection))

    async def read_record(self, projection: str) -> RebuildRecord | None:
        """As the port says."""
        return self._view_files.read_record(projection)

    async def cancel_rebuild(self, projection: str) -> bool:
        """As the port says."""
        return await rebuilds.cancel_rebuild(self._settings, projection)


class StreamingRebuildBackend:
    """Views in MongoDB, made of the feed by processes that switch to them themselves."""

    def __init__(self, settings: Settings, database: "Database") -> None:
        from infra.mongodb.rebuild_records import MongoRebuildRecords

        self._settings = settings
        self._rebuild_records = MongoRebuildRecords(database)

    async def begin_rebuild(self, projection: str, verify: bool) -> None:
        """Have the record there before the process. Raises `RebuildInProgress`,
        `StoreUnavailable`.
        """
        async with self._rebuild_records.lock_rebuild(projection):
            await self._rebuild_records.begin_or_resume(projection_named(projection), verify)

    async def run_rebuild(self, projection: str, verify: bool) -> RebuildRecord | None:
        """As the port says. Where this is cancelled, the process is killed, and what it built
        stays to be gone on with or to be taken back."""
        from infra.streaming.rebuild_process import CANCELLED, FAILED, IN_PROGRESS, SWITCHED

        owner = secrets.token_hex(8)
        arguments = [projection, "--owner", owner, *(["--verify"] if verify else [])]
        try:
            status = await rebuilds.run_child(
                self._settings, "infra.streaming.rebuild_process", arguments
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

    async def switch_to_rebuilt(self, projection: str) -> AdminResult:
        """It was switched to when it was ready."""
        return AdminResult(True, f"{projection} shows the rebuilt view")

    async def read_record(self, projection: str) -> RebuildRecord | None:
        """As the port says."""
        return await self._rebuild_records.read(projection)

    async def cancel_rebuild(self, projection: str) -> bool:
        """As the port says. Raises `RebuildInProgress` where its process doesn't stop."""
        from infra.kafka.topic_reader import delete_consumer_group
        from infra.streaming.rebuild_process import consumer_group

        found = await self._rebuild_records.read(projection)
        if found is None:
            return False
        await self._rebuild_records.remove_record(found)
        end = time.monotonic() + CANCEL_TIMEOUT_SECONDS
        while True:
            try:
                async with self._rebuild_records.lock_rebuild(projection):
                    await self._rebuild_records.discard_rebuild(found)
                    break
            except RebuildInProgress:
                if time.monotonic() > end:
                    raise
        await asyncio.to_thread(
            delete_consumer_group, self._settings.kafka or "", consumer_group(found)
        )
        return True


@asynccontextmanager
async def open_rebuild_backend(settings: Settings) -> AsyncIterator[RebuildBackend]:
    """That of the settings' profile. Raises `InvalidSetting`."""
    if settings.views == "sqlite":
        yield EmbeddedRebuildBackend(settings)
        return
    if not settings.is_streaming:
        raise InvalidSetting("views in MongoDB are rebuilt from Kafka: STARLING_KAFKA names none")
    # The driver comes with the streaming profile alone.
    from infra.mongodb.connection import WRITE_SECONDS, open_database

    with open_database(settings.views, WRITE_SECONDS) as database:
        yield StreamingRebuildBackend(settings, database)
