"""The views of an API process in the streaming profile, and the news of them.

The process follows a change stream over the positions of all views. With each position comes which
keys its transaction touched, so caches drop exactly these, in the order of commits; whoever waits
to read an own write wakes up when the position has come. While the stream is cut, everything cached
is dropped at each question: what is answered then comes from MongoDB, or is an error.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, Final, Self

from pymongo.errors import PyMongoError

from infra.mongodb.change_stream import ChangeStream, watch_changes
from infra.mongodb.connection import Database
from infra.mongodb.read_store import INVALIDATE_ALL, MongoReadStore
from infra.mongodb.view_registry import COLLECTION, RegisteredViews, ViewRegistry
from projections.projection import Projection
from projections.store import ReadStore, StoreError, StoreUnavailable
from streams.projecting.dead_letters import tables_with_dead_letters

_PIPELINE: Final = [
    {
        "$match": {
            "operationType": {"$in": ["insert", "update", "replace"]},
            "ns.coll": {"$regex": rf"\.position$|^{COLLECTION}$"},
        }
    }
]
_MAX_SILENCE_SECONDS: Final = 5.0
"""After which a process that hears nothing from MongoDB holds nothing it knows to be true."""
_RETRY_SECONDS: Final = 0.5
_START_SECONDS: Final = 3.0
"""How long a process that starts waits for MongoDB before it answers that it has none."""
_MAX_INVALIDATIONS: Final = 100_000
"""Touched keys kept for a process that answers nobody."""

_logger = logging.getLogger(__name__)


class MongoViews:
    """`Views`, the journal and the waiting of one API process."""

    def __init__(
        self, database: Database, watched: Database, projections: Sequence[Projection]
    ) -> None:
        """`watched` is the same database over a connection without a limit for each operation."""
        self._database = database
        self._stream_database = watched
        self._projections = {projection.name: projection for projection in projections}
        self._registered = RegisteredViews({}, 1, {})
        self._positions: dict[str, dict[int, int]] = {}
        self._stores: dict[str, MongoReadStore] = {}
        self._invalidations: list[tuple[int, int]] = []
        self._stream: ChangeStream | None = None
        self._invalidate_all = True
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def follow_changes(self) -> AsyncIterator[Self]:
        """Follow the news during the block, which begins when they are there, or are not soon."""
        task = asyncio.create_task(self._run_change_stream())
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_START_SECONDS):
                    await self._changed.wait()
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def current_store(self, projection: str) -> ReadStore:
        """The store of a projection's current version. Raises `StoreUnavailable`."""
        found = self._stores.get(self._registered.views.get(projection, ""))
        if found is None:
            raise StoreUnavailable(f"the view {projection!r} is not there yet, or not known yet")
        return found

    def known_position(self, projection: str) -> int:
        """How far that store is known to be: as far as the slowest partition."""
        view = self._registered.views.get(projection, "")
        known = self._positions.get(view, {})
        slowest = min(known.get(number, 0) for number in range(self._registered.partitions))
        return max(slowest, self._registered.published.get(view, 0))

    def drain_invalidations(self) -> list[tuple[int, int]] | None:
        """The keys touched since the last call; None where everything cached must go."""
        found, self._invalidations = self._invalidations, []
        heard = self._stream
        if (
            self._invalidate_all
            or heard is None
            or heard.seconds_since_heard > _MAX_SILENCE_SECONDS
        ):
            self._invalidate_all = False
            return None
        return found

    def positions(self, projection: str) -> Mapping[int, int]:
        """How far that store is known to be in each partition of the feed."""
        known = self._positions.get(self._registered.views.get(projection, ""), {})
        return {number: known.get(number, 0) for number in range(self._registered.partitions)}

    async def wait_for(self, projections: Collection[str], position: int, timeout: float) -> bool:
        """True once the projections have seen a position; False when the time is over first."""
        try:
            async with asyncio.timeout(timeout):
                while any(self.known_position(name) < position for name in projections):
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _run_change_stream(self) -> None:
        while True:
            try:
                async with watch_changes(self._stream_database, _PIPELINE) as news:
                    # Opened before positions are read, so that nothing falls between.
                    await self._reload_registry()
                    self._stream = news
                    async for change in news:
                        await self._apply_change(change)
            except (PyMongoError, StoreError) as error:
                _logger.warning("news of the views stopped, trying again: %s", error)
            finally:
                self._stream, self._invalidate_all = None, True
            await asyncio.sleep(_RETRY_SECONDS)

    async def _reload_registry(self) -> None:
        """All there is to know, and everything that was known is forgotten."""
        current = await ViewRegistry(self._database).read()
        for name, view in current.views.items():
            if name in self._projections and view not in self._stores:
                tables = tables_with_dead_letters(self._projections[name])
                self._stores[view] = await MongoReadStore.open(self._database, view, tables, True)
            found = await self._database[f"{view}.position"].find().to_list(None)
            self._positions[view] = {one["_id"]: one["position"] for one in found}
        self._registered, self._invalidate_all = current, True
        self._wake_waiters()

    async def _apply_change(self, change: Mapping[str, Any]) -> None:
        collection = change["ns"]["coll"]
        fields = change.get("fullDocument") or change["updateDescription"]["updatedFields"]
        if collection != COLLECTION:
            view, partition = collection.rpartition(".")[0], change["documentKey"]["_id"]
            self._queue_invalidations(fields.get("touched", ()))
            if "position" in fields:  # else the view is made to stand still
                self._positions.setdefault(view, {})[partition] = fields["position"]
        elif all(field.startswith("published.") for field in fields):
            news = {field.partition(".")[2]: at for field, at in fields.items()}
            self._registered = self._registered._replace(
                published={**self._registered.published, **news}
            )
        else:
            await self._reload_registry()
        self._wake_waiters()

    def _queue_invalidations(self, told: Sequence[int]) -> None:
        """The first number is the position, which makes each such list another one."""
        if INVALIDATE_ALL in told[1:2] or len(self._invalidations) > _MAX_INVALIDATIONS:
            self._invalidate_all = True
            self._invalidations.clear()
        else:
            self._invalidations += zip(told[1::2], told[2::2], strict=True)

    def _wake_waiters(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
