"""Where the views of a profile are rebuilt: see `infra.conducting.Workshop`."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from infra import rebuilding
from infra.conducting import Workshop
from infra.operating import operate
from infra.orders import Order, Reply
from infra.program.names import known
from infra.settings import Settings, WrongSetting
from infra.views.builds import ViewFiles
from streams.builds import Build, BuildTaken

if TYPE_CHECKING:
    from infra.mongo import Database

CANCEL_SECONDS: Final = 30.0
"""For a rebuild to notice that it was taken back."""


class FileWorkshop:
    """Views in the files of a data folder. A running projector switches to them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = ViewFiles(settings.views_folder)

    async def build(self, projection: str, verify: bool) -> Build | None:
        """As the port says."""
        return await rebuilding.build(self._settings, projection, verify)

    async def switch(self, projection: str) -> Reply:
        """As the port says."""
        return await operate(self._settings, Order("switch", projection))

    async def read(self, projection: str) -> Build | None:
        """As the port says."""
        return self._files.read(projection)

    async def cancel(self, projection: str) -> bool:
        """As the port says."""
        return await rebuilding.cancel(self._settings, projection)


class MongoWorkshop:
    """Views in MongoDB, made of the feed by processes that switch to them themselves."""

    def __init__(self, settings: Settings, database: "Database") -> None:
        from infra.views.mongo_builds import MongoBuilds

        self._settings = settings
        self._builds = MongoBuilds(database)

    async def begin(self, projection: str, verify: bool) -> None:
        """Have the record there before the process. Raises `BuildTaken`, `StoreUnavailable`."""
        async with self._builds.lock(projection):
            await self._builds.begin(known(projection), verify)

    async def build(self, projection: str, verify: bool) -> Build | None:
        """As the port says. Where this is cancelled, the process is killed, and what it built
        stays to be gone on with or to be taken back."""
        from infra.build_in_mongo import FAILED, SWITCHED, TAKEN, TAKEN_BACK

        owner = secrets.token_hex(8)
        arguments = [projection, "--owner", owner, *(["--verify"] if verify else [])]
        try:
            status = await rebuilding.run_builder(self._settings, "infra.build_in_mongo", arguments)
        finally:
            await self._builds.unlock(projection, owner)
        found = await self._builds.read(projection)
        if status == TAKEN:
            raise BuildTaken(f"{projection} is being rebuilt already")
        if status == SWITCHED:
            return Build(projection=projection, version=0, store="", token="", state="ready")
        if status == TAKEN_BACK or (status == FAILED and found is None):
            return None
        if status == FAILED and found is not None and found.state == "failed":
            return found
        raise ChildProcessError(f"the rebuild of {projection} ended with status {status}")

    async def switch(self, projection: str) -> Reply:
        """It was switched to when it was ready."""
        return Reply(True, f"{projection} shows the rebuilt view")

    async def read(self, projection: str) -> Build | None:
        """As the port says."""
        return await self._builds.read(projection)

    async def cancel(self, projection: str) -> bool:
        """As the port says. Raises `BuildTaken` where its process doesn't stop."""
        from infra.build_in_mongo import group_of
        from infra.feeds.kafka_part import forget

        found = await self._builds.read(projection)
        if found is None:
            return False
        await self._builds.forget(found)
        end = time.monotonic() + CANCEL_SECONDS
        while True:
            try:
                async with self._builds.lock(projection):
                    await self._builds.discard(found)
                    break
            except BuildTaken:
                if time.monotonic() > end:
                    raise
        await asyncio.to_thread(forget, self._settings.kafka or "", group_of(found))
        return True


@asynccontextmanager
async def workshop(settings: Settings) -> AsyncIterator[Workshop]:
    """That of the settings' profile. Raises `WrongSetting`."""
    if settings.views == "sqlite":
        yield FileWorkshop(settings)
        return
    if not settings.streams:
        raise WrongSetting("views in MongoDB are rebuilt from Kafka: STARLING_KAFKA names none")
    # The driver comes with the streaming profile alone.
    from infra.mongo import WRITE_SECONDS, connected

    with connected(settings.views, WRITE_SECONDS) as database:
        yield MongoWorkshop(settings, database)
