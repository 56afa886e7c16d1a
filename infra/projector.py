"""The projector of the embedded profile: the log into the views, and word of it to the API.

One runs on a data folder: it holds the board's lock. After each batch it enters what readers must
forget and how far every view is, then rings the bell of those who wait to read their own writes.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from events.log import EventLog
from infra.settings import Settings
from infra.views.board import BoardWriter
from infra.views.current import CurrentFiles
from infra.views.fanout import Fanout
from infra.views.sqlite import SqliteStore
from infra.wakeups import Wakeups
from projections.catalog import CATALOG, TOUCHES
from projections.projection import Projection
from projections.store import Changes
from streams.dead_letters import kept
from streams.runner import Follower, Runner, Tend
from streams.step import Listener

VIEWS = "views"
"""The bell of those who wait for a view to reach a position."""


@asynccontextmanager
async def projector(
    settings: Settings, log: EventLog, projections: Sequence[Projection] = CATALOG
) -> AsyncIterator[Runner]:
    """A runner over the current views, opened and locked.

    Raises `BoardTaken`, `RingsTaken`, `StoreError`.
    """
    settings.views_folder.mkdir(parents=True, exist_ok=True)
    wakeups = Wakeups(settings.data)
    async with AsyncExitStack() as stack:
        board = BoardWriter(settings.board_file, epoch=time.time_ns())
        stack.callback(board.close)
        rings = Fanout(settings.rings_folder)
        stack.callback(rings.close)
        files = {p.name: f"{p.name}-{p.version}.sqlite" for p in projections}
        followers = []
        tend: list[Tend] = []
        for projection in projections:
            file = files[projection.name]
            store = SqliteStore.open(settings.views_folder / file, kept(projection))
            stack.push_async_callback(store.close)
            listeners = [_journal(board, projection)]
            if projection.name == "timeline":
                await rings.start(store, source=file)
                listeners.insert(0, rings.listen)
                tend.append(partial(rings.tend, store))
            followers.append(Follower(projection, store, partial(_tell, listeners)))
        CurrentFiles(settings.views_folder).switch(files)
        board.switched()
        publish = partial(_publish, board, wakeups)
        yield Runner(log, followers, publish, *tend)


def _tell(listeners: Sequence[Listener], changes: Changes, position: int) -> None:
    for listen in listeners:
        listen(changes, position)


def _journal(board: BoardWriter, projection: Projection) -> Listener:
    touches = TOUCHES.get(projection.name)

    def listen(changes: Changes, position: int) -> None:
        if touches is not None:
            board.touch(touches(changes))

    return listen


def _publish(board: BoardWriter, wakeups: Wakeups, positions: Mapping[str, int]) -> None:
    for projection, position in positions.items():
        board.publish(projection, position)
    wakeups.notify(VIEWS)
