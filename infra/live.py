"""The live views of a data folder: opened to be written, and exchanged for rebuilt ones.

Only the holder of the board's lock has them. A view of an older version than the program's, or one
that isn't there, is due to be rebuilt. Until then the older one serves: kept current by the program
as it is now where its tables are the same, else as it stands, since the code for them is gone.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, Literal

from events.log import EventLog
from infra.settings import Settings
from infra.standings import current_view
from infra.views.board import BoardWriter
from infra.views.builds import ViewFiles, version_of
from infra.views.controls import Controls
from infra.views.fanout import Fanout
from projections.catalog import TOUCHES
from projections.projection import Projection
from projections.store import Changes, ReadStore, StoreError, StoreUnavailable
from streams.builds import BuildTaken
from streams.lag import reached
from streams.runner import Follower, Runner
from streams.step import Listener

AT_ONCE: Final = 20_000
"""Positions of a log up to which a view that isn't there is made in place, without a rebuild."""

RINGS_OF: Final = "timeline"
"""The projection whose changes fill the rings of home timelines."""


Switched = Literal["done", "none", "later"]


class Live:
    """The views that are written, and who hears of their changes."""

    def __init__(
        self, settings: Settings, log: EventLog, board: BoardWriter, rings: Fanout
    ) -> None:
        self.files = ViewFiles(settings.views_folder)
        self.controls = Controls(settings.views_folder)
        self.followers: list[Follower] = []
        self._settings, self._log, self._board, self._rings = settings, log, board, rings

    async def open(self, projection: Projection) -> bool:
        """Follow a projection's current view, if there is one; False if a rebuild is due."""
        file = self.files.current.read().get(projection.name)
        if file is None and self._log.head() <= AT_ONCE:
            file, store = self._made_in_place(projection)
        else:
            store = self._opened(file, projection)
        if store is None:
            await self._leave(projection)
            return False
        await self._follow(projection, store)
        if projection.name == RINGS_OF:
            await self._rings.start(store, source=str(file))
        return version_of(str(file)) == projection.version

    def _made_in_place(self, projection: Projection) -> tuple[str | None, ReadStore | None]:
        """A first view, still empty; none where a rebuild is making it already."""
        try:
            with self.files.lock(projection.name):
                file = self.files.next(projection)
        except BuildTaken:
            return None, None
        store = self.files.open(file, projection)
        self.files.current.switch({projection.name: file})
        return file, store

    def _opened(self, file: str | None, projection: Projection) -> ReadStore | None:
        if file is None or not (self.files.folder / file).exists():
            return None
        try:
            return self.files.open(file, projection)
        except StoreUnavailable:
            raise
        except StoreError:
            return None  # other tables than the program's: it was made by another version

    async def _leave(self, projection: Projection) -> None:
        """Let readers have what the view of another version shows, up to where it is."""
        if projection.name == RINGS_OF:
            self._rings.drop()
        store = current_view(self._settings, projection)
        if store is not None:
            shown = reached(self._log, projection, await store.position())
            self._board.publish(projection.name, shown)
            await store.close()

    async def _follow(self, projection: Projection, store: ReadStore) -> Follower:
        control = self.controls.of(projection.name)
        listeners = [self._journal(projection)]
        if projection.name == RINGS_OF:
            listeners.insert(0, self._rings.listen)
        follower = Follower(
            projection, store, partial(_tell, listeners), control.skips, control.paused
        )
        await follower.start()
        self.followers.append(follower)
        return follower

    def follower(self, name: str) -> Follower | None:
        """Whoever keeps a projection's view current; None while it has none."""
        return next((one for one in self.followers if one.projection.name == name), None)

    def beat(self) -> None:
        """Tell readers that the views are being kept current.

        Never before a first batch, or a projector that fails again and again would seem alive.
        """
        self._board.beat()

    async def tend(self) -> bool:
        """Make and mend rings; True where more are wanted."""
        follower = self.follower(RINGS_OF)
        return follower is not None and await self._rings.tend(follower.store)

    async def switch(self, projection: Projection, *, alone: bool = False) -> Switched:
        """Take over a rebuilt view in one step.

        First the live one is brought to where the rebuilt one is, so that its listeners hear of
        everything; then the rebuilt one to where the live one is, by a runner to which nobody
        listens. That is for later where the live one is paused, or so far behind that the others
        would have to wait, unless there is nobody to wait (`alone`). Cut off at any point, it is
        either done or still to be done. Raises `BuildTaken`, `StoreError`.
        """
        with self.files.lock(projection.name):
            build = self.files.read(projection.name)
            before = self.files.current.read().get(projection.name)
            if build is None or build.state != "ready" or build.version != projection.version:
                return "none"
            if build.store != before:
                if self._must_wait(projection, build.position, alone):
                    return "later"
                await self._take(projection, build.store)
                if before is not None:
                    self.files.remove(before)
            self.files.forget(build)
        return "done"

    def _must_wait(self, projection: Projection, position: int, alone: bool) -> bool:
        follower = self.follower(projection.name)
        if follower is None:
            return False
        return follower.paused or (not alone and position - follower.position > AT_ONCE)

    async def _take(self, projection: Projection, file: str) -> None:
        store = self.files.open(file, projection)
        follower = self.follower(projection.name)
        skips = self.controls.of(projection.name).skips
        coming = Follower(projection, store, skips=skips)
        await coming.start()
        if follower is not None:
            await Runner(self._log, [follower]).catch_up(coming.position)
            await Runner(self._log, [coming]).catch_up(follower.position)
        if follower is not None:
            old = await follower.switch(store, coming.position)
            await old.close()
        else:
            await self._follow(projection, store)
        self.files.current.switch({projection.name: file})
        self._board.publish(projection.name, coming.position)
        self._board.switched()
        if projection.name == RINGS_OF:
            await self._rings.start(store, source=file)

    async def close(self) -> None:
        """Close the views."""
        for follower in self.followers:
            await follower.store.close()

    def sweep(self, projections: Sequence[Projection]) -> None:
        """Remove files that nobody can use any more."""
        self.files.sweep([projection.name for projection in projections])

    def _journal(self, projection: Projection) -> Listener:
        touches = TOUCHES.get(projection.name)

        def listen(changes: Changes, position: int) -> None:
            if touches is not None:
                self._board.touch(touches(changes))

        return listen


def _tell(listeners: Sequence[Listener], changes: Changes, position: int) -> None:
    for listen in listeners:
        listen(changes, position)
