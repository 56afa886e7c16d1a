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

from infra.views.sqlite import SqliteStore
from projections.catalog import CATALOG
from projections.store import Changes, Superseded
from streams.dead_letters import kept
from streams.faust_app import build, work
from streams.partitions import Look, PartitionedView, always
from tests.engines.relays import until

FOLDER = Path(sys.argv[-1])
HOLD, HELD = FOLDER / f"hold-{os.getpid()}", FOLDER / f"held-{os.getpid()}"


class Held(SqliteStore):
    """A store whose transactions can be held up before they begin."""

    async def apply(self, changes: Changes, after: int, position: int, partition: int = 0) -> bool:
        """As the store's, once there is no `hold` file."""
        if not HOLD.exists():
            return await super().apply(changes, after, position, partition)
        HELD.touch()
        try:
            await until(lambda: not HOLD.exists())
            applied = await super().apply(changes, after, position, partition)
        except Superseded:
            HELD.write_text("superseded")
            raise
        except asyncio.CancelledError:  # it heard first that its partition is another's now
            HELD.write_text("let go")
            raise
        HELD.write_text("applied" if applied else "had it")
        return applied


@asynccontextmanager
async def views(folder: Path) -> AsyncIterator[Look]:
    """The views in a folder, open for writing."""
    async with AsyncExitStack() as stack:
        opened = []
        for projection in CATALOG:
            store = Held.open(folder / f"{projection.name}.sqlite", kept(projection))
            stack.push_async_callback(store.close)
            opened.append(PartitionedView(projection, store))
        yield always(opened)


if __name__ == "__main__":
    servers, topic, group, _ = sys.argv[1:]
    work(build(servers, topic, group, partial(views, FOLDER)))
