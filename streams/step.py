"""One batch: project it, apply it with its position, tell who listens.

Every runner calls this: the embedded one, the Faust agents, a rebuild. What is true of a batch is
therefore true everywhere.
"""

from collections.abc import Callable, Sequence

from events.recorded import Recorded
from projections.projection import Projection, project
from projections.store import Changes, ReadStore

Listener = Callable[[Changes, int], None]
"""Told of the changes of a batch and the position they brought the store to, right after they were
applied; never told of a batch applied before."""


async def step(
    projection: Projection,
    store: ReadStore,
    batch: Sequence[Recorded],
    after: int,
    position: int,
    listen: Listener | None = None,
    partition: int = 0,
) -> bool:
    """Project a partition's events between `after` and `position` (those the projection takes).

    False where the store had them already. Raises what the projection raises, and `StoreError`;
    then nothing was applied.
    """
    changes = await project(projection, store, batch)
    applied = await store.apply(changes, after, position, partition)
    if applied and listen is not None:
        listen(changes, position)
    return applied
