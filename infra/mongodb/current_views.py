"""The views of an API process in the streaming profile, kept fresh by a change stream.

The process follows a change stream over the positions of all views. Each position comes with the
keys that its transaction touched, so caches drop exactly these, in the order of commits, and
requests that wait to read their own write wake up when the position has come. While the stream is
cut, everything cached is dropped at each request: what is answered then comes from MongoDB, or is
an error.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self

from pymongo.errors import PyMongoError

from infra.mongodb.async_database import AsyncDatabase, BlockingDatabase
from infra.mongodb.batch_transaction import INVALIDATE_ALL
from infra.mongodb.connection import raising_unavailable
from infra.mongodb.read_store import MongoReadStore
from infra.mongodb.view_registry import COLLECTION, RegisteredViews, ViewRegistry
from projections.projection import Projection
from projections.store import ReadStore, StoreError, StoreUnavailable, ViewAbsent
from streams.projecting.dead_letters import tables_with_dead_letters

_PIPELINE: Final = [
    {
        "$match": {
            "operationType": {"$in": ["insert", "update", "replace"]},
            "ns.coll": {"$regex": rf"\.position$|^{COLLECTION}$"},
        }
    }
]
_MAX_AWAIT_MS: Final = 1000
"""How long the server holds a request for changes open, less than the socket's time limit."""
_MAX_SILENCE_SECONDS: Final = 5.0
"""After which a process that hears nothing from MongoDB trusts nothing that it cached."""
_RETRY_SECONDS: Final = 0.5
_START_SECONDS: Final = 3.0
"""How long a process that starts waits for MongoDB before it answers that it has none."""
_MAX_INVALIDATIONS: Final = 100_000
"""Invalidations kept for a process that gets no requests."""

Change = Mapping[str, Any]

_logger = logging.getLogger(__name__)


class MongoViews:
    """The current views of one API process: their stores, positions and invalidations."""

    def __init__(
        self, database: AsyncDatabase, watched: BlockingDatabase, projections: Sequence[Projection]
    ) -> None:
        """`watched` is the same database for the thread that reads the change stream, without a
        limit for each operation."""
        self._database = database
        self._watched = watched
        self._projections = {projection.name: projection for projection in projections}
        self._registered = RegisteredViews({}, 1, {})
        self._registry_read = False
        self._positions: dict[str, dict[int, int]] = {}
        self._stores: dict[str, MongoReadStore] = {}
        self._invalidations: list[tuple[int, int]] = []
        self._stream: ChangeStream | None = None
        self._invalidate_all = True
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def follow_changes(self) -> AsyncIterator[Self]:
        """Follow the change stream during the block, which begins once it is open, or soon."""
        task = asyncio.create_task(self._run_change_stream())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_START_SECONDS):
                    await self._changed.wait()
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def current_store(self, projection: str) -> ReadStore:
        """The store of a projection's current view. Raises `ViewAbsent`; `StoreUnavailable` while
        MongoDB did not say yet which views there are."""
        found = self._stores.get(self._registered.views.get(projection, ""))
        if found is None:
            if not self._registry_read:
                raise StoreUnavailable("MongoDB did not say yet which views there are")
            raise ViewAbsent(f"the view {projection!r} is not there yet")
        return found

    def known_position(self, projection: str) -> int:
        """How far that store is known to be: as far as its slowest partition."""
        view = self._registered.views.get(projection, "")
        return max(
            min(self.positions(projection).values()), self._registered.published.get(view, 0)
        )

    def positions(self, projection: str) -> Mapping[int, int]:
        """How far that store is known to be in each partition of the feed."""
        known = self._positions.get(self._registered.views.get(projection, ""), {})
        return {number: known.get(number, 0) for number in range(self._registered.partitions)}

    def drain_invalidations(self) -> list[tuple[int, int]] | None:
        """The keys touched since the last call; None where everything cached must go."""
        drained, self._invalidations = self._invalidations, []
        stream = self._stream
        if (
            self._invalidate_all
            or stream is None
            or stream.seconds_since_heard > _MAX_SILENCE_SECONDS
        ):
            self._invalidate_all = False
            return None
        return drained

    async def wait_for(self, projections: Collection[str], position: int, timeout: float) -> bool:
        """True once the projections have come to a position; False if `timeout` seconds pass."""
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
                async with watch_changes(self._watched, _PIPELINE) as stream:
                    # Opened before positions are read, so that no change falls between.
                    await self._reload_registry()
                    self._stream = stream
                    async for change in stream:
                        await self._apply_change(change)
            except (PyMongoError, StoreError) as error:
                _logger.warning("the change stream was cut, trying again: %s", error)
            except Exception:
                _logger.exception("a change could not be followed, trying again")
            finally:
                self._stream, self._invalidate_all = None, True
            await asyncio.sleep(_RETRY_SECONDS)

    async def _reload_registry(self) -> None:
        """Read everything again, and invalidate everything."""
        registered = await ViewRegistry(self._database).read()
        for name, view in registered.views.items():
            if name in self._projections and view not in self._stores:
                tables = tables_with_dead_letters(self._projections[name])
                self._stores[view] = await MongoReadStore.open(self._database, view, tables, True)
            self._positions[view] = await read_positions(self._database, view)
        self._registered, self._registry_read = registered, True
        self._invalidate_all = True
        self._wake_waiters()

    async def _apply_change(self, change: Change) -> None:
        collection = change["ns"]["coll"]
        fields = change.get("fullDocument") or change["updateDescription"]["updatedFields"]
        if collection != COLLECTION:
            view, partition = collection.rpartition(".")[0], change["documentKey"]["_id"]
            self._queue_invalidations(fields.get("touched", ()))
            if "position" in fields:  # else a write fence raised the epoch of the view's writers
                self._positions.setdefault(view, {})[partition] = fields["position"]
        elif all(field.startswith("published.") for field in fields):
            published = {field.partition(".")[2]: position for field, position in fields.items()}
            self._registered = self._registered._replace(
                published={**self._registered.published, **published}
            )
        else:
            await self._reload_registry()
        self._wake_waiters()

    def _queue_invalidations(self, touched: Sequence[int]) -> None:
        """The first number is the position, which makes each such list differ from the last."""
        if INVALIDATE_ALL in touched[1:2] or len(self._invalidations) > _MAX_INVALIDATIONS:
            self._invalidate_all = True
            self._invalidations.clear()
        else:
            self._invalidations += zip(touched[1::2], touched[2::2], strict=True)

    def _wake_waiters(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def read_positions(database: AsyncDatabase, view: str) -> dict[int, int]:
    """How far a view is in each partition that was projected. Raises `StoreUnavailable`."""
    with raising_unavailable():
        found = await database[f"{view}.position"].find().to_list(None)
    return {stored["_id"]: stored["position"] for stored in found}


class ChangeStream:
    """Changes in the order of their commits; an iterator that ends with an error, `PyMongoError` as
    a rule.

    A thread of its own reads it: awaiting each change by itself costs more than the change.
    Changes gather while the event loop is busy, and wake it once. A stream that is cut tries again
    by itself before it raises, so readers ask it when the server was last heard of.
    """

    def __init__(self, database: BlockingDatabase, pipeline: Sequence[Mapping[str, Any]]) -> None:
        self._database = database
        self._pipeline = pipeline
        self._loop = asyncio.get_running_loop()
        self._changes: deque[Change] = deque()
        self._error: Exception | None = None
        self._wakeup = asyncio.Event()
        self._stopped = False
        self._heard_at = 0.0
        self.opened = asyncio.Event()

    @property
    def seconds_since_heard(self) -> float:
        """Seconds since the server last answered, even if only that there is no change."""
        return time.monotonic() - self._heard_at

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._changes:
            if self._error is not None:
                raise self._error
            self._wakeup.clear()
            await self._wakeup.wait()
        return self._changes.popleft()

    def stop(self) -> None:
        """Read no more; the thread ends when the server answers next."""
        self._stopped = True

    def read_changes(self) -> None:
        """Read until `stop`; the thread's work."""
        try:
            with self._database.watch(self._pipeline, max_await_time_ms=_MAX_AWAIT_MS) as stream:
                self._heard_at = time.monotonic()
                self._set_event(self.opened)
                while not self._stopped:
                    change = stream.try_next()
                    self._heard_at = time.monotonic()
                    if change is not None:
                        self._changes.append(change)
                        if len(self._changes) == 1:
                            self._set_event(self._wakeup)
        except Exception as error:  # noqa: BLE001 - it is raised where changes are awaited
            self._error = error
        finally:
            self._set_event(self._wakeup)
            self._set_event(self.opened)

    def _set_event(self, event: asyncio.Event) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(event.set)


@asynccontextmanager
async def watch_changes(
    database: BlockingDatabase, pipeline: Sequence[Mapping[str, Any]]
) -> AsyncIterator[ChangeStream]:
    """A stream of all that is committed after the block began.

    The connection should limit how long a socket may be silent. Errors come with the iteration.
    """
    stream = ChangeStream(database, pipeline)
    threading.Thread(target=stream.read_changes, name="change-stream", daemon=True).start()
    try:
        await stream.opened.wait()
        yield stream
    finally:
        stream.stop()
