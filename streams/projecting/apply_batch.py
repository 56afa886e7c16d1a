"""One batch: project it, apply it with its position, tell who listens.

Every runner calls this: the embedded one, the Faust agents, a rebuild. What is true of a batch is
therefore true everywhere.
"""

from collections.abc import Callable, Sequence

from events.envelope import RecordedEvent
from projections.projection import Projection, project_batch
from projections.store import Changes, ReadStore, StaleRead
from streams.projecting.dead_letters import DEAD_LETTERS, DeadLetter

ChangeListener = Callable[[Changes, int], None]
"""Told of the changes of a batch and the position they brought the store to, right after they were
applied; never told of a batch applied before."""


async def project_and_apply(
    projection: Projection,
    store: ReadStore,
    batch: Sequence[RecordedEvent],
    after: int,
    position: int,
    partition: int = 0,
    parked: Sequence[DeadLetter] = (),
) -> Changes | None:
    """Project a partition's events between `after` and `position` (those the projection takes).

    `parked` are events between them that go to the dead letters instead. None where the store had
    them already. Raises what the projection raises, and `StoreError`; then nothing was applied.
    """
    while True:
        changes = await project_batch(projection, store, batch)
        if parked:
            changes.puts[DEAD_LETTERS] = {(letter.position,): letter for letter in parked}
        try:
            return changes if await store.apply(changes, after, position, partition) else None
        except StaleRead:
            continue  # another partition went on, so this one will, too


async def project_and_notify(
    projection: Projection,
    store: ReadStore,
    batch: Sequence[RecordedEvent],
    after: int,
    position: int,
    listen: ChangeListener | None = None,
    partition: int = 0,
) -> bool:
    """`enter`, and tell who listens. False where the store had the events already."""
    changes = await project_and_apply(projection, store, batch, after, position, partition)
    if changes is not None and listen is not None:
        listen(changes, position)
    return changes is not None
