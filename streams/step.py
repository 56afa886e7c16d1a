"""One batch: project it, apply it with its position, tell who listens.

Every runner calls this: the embedded one, the Faust agents, a rebuild. What is true of a batch is
therefore true everywhere.
"""

from collections.abc import Callable, Sequence

from events.recorded import Recorded
from projections.projection import Projection, project
from projections.store import Changes, ReadStore, Stale
from streams.dead_letters import LETTERS, Letter

Listener = Callable[[Changes, int], None]
"""Told of the changes of a batch and the position they brought the store to, right after they were
applied; never told of a batch applied before."""


async def enter(
    projection: Projection,
    store: ReadStore,
    batch: Sequence[Recorded],
    after: int,
    position: int,
    partition: int = 0,
    parked: Sequence[Letter] = (),
) -> Changes | None:
    """Project a partition's events between `after` and `position` (those the projection takes).

    `parked` are events between them that go to the dead letters instead. None where the store had
    them already. Raises what the projection raises, and `StoreError`; then nothing was applied.
    """
    while True:
        changes = await project(projection, store, batch)
        if parked:
            changes.puts[LETTERS] = {(letter.position,): letter for letter in parked}
        try:
            return changes if await store.apply(changes, after, position, partition) else None
        except Stale:
            continue  # another partition went on, so this one will, too


async def step(
    projection: Projection,
    store: ReadStore,
    batch: Sequence[Recorded],
    after: int,
    position: int,
    listen: Listener | None = None,
    partition: int = 0,
) -> bool:
    """`enter`, and tell who listens. False where the store had the events already."""
    changes = await enter(projection, store, batch, after, position, partition)
    if changes is not None and listen is not None:
        listen(changes, position)
    return changes is not None
