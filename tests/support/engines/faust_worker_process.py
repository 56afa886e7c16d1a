"""A Faust worker over SQLite views, in a process of its own: SERVERS TOPIC GROUP FOLDER.

While there is a file `hold-<pid>` in the folder, it stands before each transaction; it makes
`held-<pid>` when it begins to, and writes there what became of the transaction afterwards.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from infra.sqlite.read_store import SqliteReadStore
from projections.registry import ALL_PROJECTIONS
from projections.store import Changes, WriterSuperseded
from streams.projecting.dead_letters import tables_with_dead_letters
from streams.projecting.faust_app import build_app, run_worker
from streams.projecting.partitioned_runner import PartitionedProjection, ViewProvider, fixed_views
from tests.support.waiting import wait_until

FOLDER = Path(sys.argv[-1])
PAUSE_FILE, PAUSED_FILE = FOLDER / f"hold-{os.getpid()}", FOLDER / f"held-{os.getpid()}"


class PausableStore(SqliteReadStore):
    """A store whose transactions can be held up before they begin."""

    async def apply(self, changes: Changes, after: int, position: int, partition: int = 0) -> bool:
        """As the store's, once there is no `hold` file."""
        if not PAUSE_FILE.exists():
            return await super().apply(changes, after, position, partition)
        PAUSED_FILE.touch()
        try:
            await wait_until(lambda: not PAUSE_FILE.exists())
            applied = await super().apply(changes, after, position, partition)
        except WriterSuperseded:
            PAUSED_FILE.write_text("superseded")
            raise
        except asyncio.CancelledError:  # it heard first that its partition is another's now
            PAUSED_FILE.write_text("let go")
            raise
        PAUSED_FILE.write_text("applied" if applied else "had it")
        return applied


@asynccontextmanager
async def open_views(folder: Path) -> AsyncIterator[ViewProvider]:
    """The views in a folder, open for writing."""
    async with AsyncExitStack() as stack:
        opened = []
        for projection in ALL_PROJECTIONS:
            store = PausableStore.open(
                folder / f"{projection.name}.sqlite", tables_with_dead_letters(projection)
            )
            stack.push_async_callback(store.close)
            opened.append(PartitionedProjection(projection, store))
        yield fixed_views(opened)


if __name__ == "__main__":
    servers, topic, group, _ = sys.argv[1:]
    run_worker(build_app(servers, topic, group, partial(open_views, FOLDER)))
