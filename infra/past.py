"""The past for an API process: views as they were, made by a process of their own, some kept open.

One at a time is made. Who waits too long is told to come back; the work goes on meanwhile.
"""

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from os import getpid
from pathlib import Path
from typing import Final

from api.ports import PastBusy
from events.log import EventLog
from events.snowflake import first_id_at
from infra.build_past import opened
from infra.program.names import known
from infra.settings import Settings
from infra.views.snapshots import Snapshots
from infra.views.sqlite import SqliteStore
from projections.store import ReadStore, StoreUnavailable
from streams.past import Moment

KEPT: Final = 8
"""Moments whose views stay open."""

WAITING: Final = 8
"""Moments that may be asked for at once."""

WAIT_SECONDS: Final = 10.0

LOOKED_AT: Final = 1000
"""So many events since are looked at before views are used again; after more they are made anew."""

Asked = tuple[tuple[str, ...], int]
"""Projections, and the time in Unix ms."""


@dataclass(slots=True)
class _Kept:
    moment: Moment
    stores: Mapping[str, SqliteStore]


class PastViews:
    """As `api.ports.Past`; `aclose` it on the event loop it was used on."""

    def __init__(
        self, settings: Settings, log: EventLog, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._settings = settings
        self._log = log
        self._wait_seconds = wait_seconds
        self._snapshots = Snapshots(settings.snapshots_folder)
        self._snapshots.sweep()
        self._kept: OrderedDict[Asked, _Kept] = OrderedDict()
        self._making: dict[Asked, asyncio.Task[Mapping[str, SqliteStore]]] = {}
        self._turn = asyncio.Lock()
        self._numbers = count()

    async def at(self, projections: Collection[str], ms: int) -> Mapping[str, ReadStore]:
        """The stores of some projections as they were; see the port."""
        asked = (tuple(sorted(projections)), ms)
        kept = self._kept.get(asked)
        if kept is not None and self._still(kept):
            self._kept.move_to_end(asked)
            return kept.stores
        making = self._making.get(asked)
        if making is None:
            if len(self._making) >= WAITING:
                raise PastBusy
            making = self._making[asked] = asyncio.create_task(self._make(asked))
            making.add_done_callback(lambda done: self._made(asked, done))
        try:
            return await asyncio.wait_for(asyncio.shield(making), self._wait_seconds)
        except TimeoutError:
            raise PastBusy from None

    async def aclose(self) -> None:
        """End what is under way and let go of the views."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._kept:
            await self._drop(next(iter(self._kept)))

    def _made(self, asked: Asked, done: "asyncio.Task[Mapping[str, SqliteStore]]") -> None:
        del self._making[asked]
        if not done.cancelled():
            done.exception()  # whoever still waits hears of it; it is in the output either way

    def _still(self, kept: _Kept) -> bool:
        """Whether nothing that came into the log since had happened by then."""
        head = self._log.head()
        since = self._log.read_all(kept.moment.until, limit=LOOKED_AT, until=head)
        now = kept.moment._replace(until=head)
        if len(since) == LOOKED_AT or any(map(now.holds, since)):
            return False
        kept.moment = now
        return True

    async def _make(self, asked: Asked) -> Mapping[str, SqliteStore]:
        names, ms = asked
        async with self._turn:
            moment = Moment(self._log.head(), first_id_at(ms + 1))
            number = next(self._numbers)
            paths = {n: self._snapshots.making(f"{getpid()}-{number}-{n}") for n in names}
            try:
                await self._run(moment, paths)
                stores = {name: opened(known(name), path) for name, path in paths.items()}
            finally:
                for path in paths.values():
                    path.unlink(missing_ok=True)
            await self._drop(asked)
            self._kept[asked] = _Kept(moment, stores)
            while len(self._kept) > KEPT:
                await self._drop(next(iter(self._kept)))
            return stores

    async def _run(self, moment: Moment, paths: Mapping[str, Path]) -> None:
        """Have a process make the views. Raises `StoreUnavailable`."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "infra.build_past", str(moment.until), str(moment.before_id)),
            *(f"{name}={path.absolute()}" for name, path in paths.items()),
            env=self._settings.environment(),
        )
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if status:
            raise StoreUnavailable("the past could not be made; see the server's output")

    async def _drop(self, asked: Asked) -> None:
        kept = self._kept.pop(asked, None)
        for store in kept.stores.values() if kept is not None else ():
            await store.close()
