"""Questions of many requests to a store, gathered into few.

While a question is under way, what others want to know gathers, and the next question asks for all
of it. A quiet process waits for nothing but one turn of its event loop, a busy one asks few and
large questions, however many requests it has. The idea is that of Facebook's DataLoader.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

from projections.store import StoreError, StoreUnavailable

K = TypeVar("K")
V = TypeVar("V")


class _PendingBatch(Generic[K, V]):
    """What is asked for at once, and the answer."""

    def __init__(self) -> None:
        self.keys: dict[K, None] = {}
        self.result: asyncio.Future[Mapping[K, V]] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        """It has no answer."""
        self.result.set_exception(error)
        self.result.exception()  # those who asked may all have gone away


class BatchLoader(Generic[K, V]):
    """Reads what there is under some keys, like the function that it is made from.

    What comes was read after it was asked for: nobody joins a question that is under way.
    """

    def __init__(self, fetch: Callable[[Collection[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._fetch = fetch
        self._pending: _PendingBatch[K, V] | None = None
        self._loading_task: asyncio.Task[None] | None = None

    async def __call__(self, keys: Collection[K]) -> Mapping[K, V]:
        """The values under those of the keys that there are. Raises what the function raises."""
        question = self._pending
        if question is None:
            question = self._pending = _PendingBatch()
            if self._loading_task is None:
                self._loading_task = asyncio.create_task(self._load_batches())
        question.keys.update(dict.fromkeys(keys))
        try:
            # One of those who asked may go away; the others still want to know.
            found = await asyncio.shield(question.result)
        except StoreUnavailable:
            raise
        except StoreError:
            return await self._fetch(keys)  # a key of somebody else's may be what was refused
        return {key: found[key] for key in keys if key in found}

    async def _load_batches(self) -> None:
        """Ask as long as anything is asked for."""
        while self._pending is not None:
            question, self._pending = self._pending, None
            try:
                found = await self._fetch(question.keys)
            except Exception as error:  # noqa: BLE001  # it is raised where the question came from
                question.fail(error)
                if isinstance(error, StoreUnavailable):
                    self._fail_pending(error)
            else:
                question.result.set_result(found)
        self._loading_task = None

    def _fail_pending(self, error: StoreUnavailable) -> None:
        """They have waited as long already."""
        if self._pending is not None:
            self._pending.fail(error)
            self._pending = None
