"""A lease in a field of a MongoDB document: one holder at a time, by the server's clock.

The holder renews it while it works; a holder that was killed loses it after some seconds. Times are
the server's (`$$NOW`), so the clocks of the machines don't matter.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from pymongo.errors import PyMongoError


class DocumentLease:
    """One holder's token for a lease; `acquire` and `renew` raise `PyMongoError`."""

    def __init__(
        self,
        collection: Any,
        document: Mapping[str, Any],
        token: tuple[str, str],
        until_field: str,
        seconds: float,
    ) -> None:
        """`document` selects it; `token` is the field that names the holder, and this holder's."""
        token_field, self.token = token
        self.own: Final = {**document, token_field: self.token}
        """Selects the document while this holder has the lease."""
        self.free: Final = {
            **document,
            "$expr": {"$lt": [{"$ifNull": [f"${until_field}", None]}, "$$NOW"]},
        }
        """Selects the document while no holder has the lease, or the holder stopped renewing it."""
        self.renewal: Final = {until_field: {"$add": ["$$NOW", int(seconds * 1000)]}}
        """Fields to set in a pipeline update, to take the lease or to keep it."""
        self.granted: Final = {token_field: self.token, **self.renewal}
        self._collection = collection

    @asynccontextmanager
    async def renewing(self, every_seconds: float) -> AsyncIterator[None]:
        """Keep the lease during the block, as far as MongoDB can be reached."""
        task = asyncio.create_task(self._keep_renewing(every_seconds))
        try:
            yield
        finally:
            task.cancel()

    async def _keep_renewing(self, every_seconds: float) -> None:
        while True:
            await asyncio.sleep(every_seconds)
            with suppress(PyMongoError):
                await self._collection.update_one(self.own, [{"$set": self.renewal}])
