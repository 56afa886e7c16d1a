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
from infra.views.sqlite import SqliteStore
from infra.wakeups import Wakeups
from projections.catalog import CATALOG, TOUCHES
from projections.projection import Projection
from projections.store import Changes
from streams.runner import Follower, Runner
from streams.step import Listener

VIEWS = "views"
"""The bell of those who wait for a view to reach a position."""


@asynccontextmanager
async def projector(
    settings: Settings, log: EventLog, projections: Sequence[Projection] = CATALOG
) -> AsyncIterator[Runner]:
    """A runner over the current views, opened and locked. Raises `BoardTaken`, `StoreError`."""
    settings.views_folder.mkdir(parents=True, exist_ok=True)
    wakeups = Wakeups(settings.data)
    async with AsyncExitStack() as stack:
        board = BoardWriter(settings.board_file, epoch=time.time_ns())
        stack.callback(board.close)
        followers = []
        for projection in projections:
            name = f"{projection.name}-{projection.version}.sqlite"
            store = SqliteStore.open(settings.views_folder / name, projection.tables)
            stack.push_async_callback(store.close)
            followers.append(Follower(projection, store, _listener(board, projection)))
        CurrentFiles(settings.views_folder).switch(
            {p.name: f"{p.name}-{p.version}.sqlite" for p in projections}
        )
        board.switched()
        yield Runner(log, followers, partial(_publish, board, wakeups))


def _listener(board: BoardWriter, projection: Projection) -> Listener | None:
    touches = TOUCHES.get(projection.name)
    if touches is None:
        return None

    def listen(changes: Changes, position: int) -> None:
        board.touch(touches(changes))

    return listen


def _publish(board: BoardWriter, wakeups: Wakeups, positions: Mapping[str, int]) -> None:
    for projection, position in positions.items():
        board.publish(projection, position)
    wakeups.notify(VIEWS)
