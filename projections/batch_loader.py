"""Reads of many requests from a store, gathered into few.

While one read is under way, the keys that other requests need are gathered, and the next read asks
for all of them. In a quiet process a request waits for one turn of the event loop at most; a busy
process makes few and large reads, however many requests it has. The idea is that of Facebook's
DataLoader.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

from projections.store import StoreError, StoreUnavailable

K = TypeVar("K")
V = TypeVar("V")


class _PendingBatch(Generic[K, V]):
    """The keys of one read, and its result."""

    def __init__(self) -> None:
        self.keys: dict[K, None] = {}
        self.result: asyncio.Future[Mapping[K, V]] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        """End without a result."""
        self.result.set_exception(error)
        self.result.exception()  # the requests may all have been cancelled: no warning then


class BatchLoader(Generic[K, V]):
    """Reads the values under some keys, like the function that it wraps.

    A value was read after it was requested: no request joins a read that is under way.
    """

    def __init__(self, fetch: Callable[[Collection[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._fetch = fetch
        self._pending: _PendingBatch[K, V] | None = None
        self._loading_task: asyncio.Task[None] | None = None

    async def __call__(self, keys: Collection[K]) -> Mapping[K, V]:
        """The values under those of the keys that exist. Raises what the function raises."""
        batch = self._pending
        if batch is None:
            batch = self._pending = _PendingBatch()
            if self._loading_task is None:
                self._loading_task = asyncio.create_task(self._load_batches())
        batch.keys.update(dict.fromkeys(keys))
        try:
            # If this request is cancelled, the others still need the result.
            found = await asyncio.shield(batch.result)
        except StoreUnavailable:
            raise
        except StoreError:
            return await self._fetch(keys)  # a key of another request may be what was refused
        return {key: found[key] for key in keys if key in found}

    async def _load_batches(self) -> None:
        while self._pending is not None:
            batch, self._pending = self._pending, None
            try:
                found = await self._fetch(batch.keys)
            except Exception as error:  # noqa: BLE001  # raised again in each request
                batch.fail(error)
                if isinstance(error, StoreUnavailable):
                    self._fail_pending(error)
            else:
                batch.result.set_result(found)
        self._loading_task = None

    def _fail_pending(self, error: StoreUnavailable) -> None:
        """Fail the gathered requests, too: they have waited as long already."""
        if self._pending is not None:
            self._pending.fail(error)
            self._pending = None
