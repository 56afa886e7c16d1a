"""The administration of projections: one port, which each profile implements.

The API, `starling projections` and `starling dlq` call it, from any process. What changes a live
view is an `AdminCommand`. In the embedded profile the projector executes it, since no other process
writes the views; in the streaming profile the process that was given it, while it keeps all writers
of the view out. A new verb is one more `AdminVerb` here and a case in each implementation.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from events.log import EventLog
from projections.projection import Projection
from projections.store import ReadStore
from streams.projecting.dead_letters import DeadLetter, TolerantProjector, purge, read_dead_letters
from streams.rebuild.rebuild_record import RebuildRecord
from streams.rebuild.status import ProjectionStatus

AdminVerb = Literal["switch", "rebuild", "pause", "resume", "skip", "replay", "purge"]


class AdminCommand(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to do with a projection, and with which events of the log, by position."""

    what: AdminVerb
    projection: str
    positions: tuple[int, ...] = ()
    verify: bool = False


class AdminResult(msgspec.Struct, frozen=True):
    """Whether a command was carried out, and a sentence about it."""

    done: bool
    text: str


class AdminRefused(Exception):
    """A command can't be carried out; the message says why."""


class ProjectorNotRunning(AdminRefused):
    """No projector carried the command out in time."""


class FeedMissing(AdminRefused):
    """Views in MongoDB are rebuilt from Kafka, and the settings name none."""

    def __init__(self) -> None:
        super().__init__("views in MongoDB are rebuilt from Kafka: STARLING_KAFKA names none")


class ProjectionAdmin(Protocol):
    """What an operator sees and does. Projections are given by their names.

    Everything raises `LogError` and `StoreError`.
    """

    async def execute(self, command: AdminCommand, /) -> str:
        """Carry a command out; a sentence about what was done. A rebuild is only started.

        Raises `AdminRefused`, and `RebuildInProgress` where another process rebuilds the view.
        """
        ...

    async def cancel_rebuild(self, projection: str, /) -> bool:
        """Cancel a rebuild, in whichever process it runs; False where there is none.

        Raises `RebuildInProgress` where its process doesn't stop.
        """
        ...

    async def read_rebuild(self, projection: str, /) -> RebuildRecord | None:
        """How far a rebuild is; None where there is none."""
        ...

    async def statuses(self, projections: Sequence[Projection], /) -> list[ProjectionStatus]:
        """How far each of these projections is."""
        ...

    async def current_view(self, projection: str, /) -> str:
        """The name of the view that readers are shown; empty where there is none."""
        ...

    async def dead_letters(self, projection: str, /) -> list[DeadLetter]:
        """The events that a projection could not apply, in the order of the log."""
        ...

    async def skipped_positions(self, projection: str, /) -> frozenset[int]:
        """The positions that a projection skips: live, in rebuilds and in time travel."""
        ...


async def execute_on_dead_letters(
    command: AdminCommand,
    log: EventLog,
    store: ReadStore,
    projector: TolerantProjector,
    add_skips: Callable[[], Awaitable[None]],
) -> str:
    """Replay, purge or skip dead letters: those at the command's positions, or all.

    For the process that writes the store. `add_skips` has the command's positions left out from
    now on. Raises `AdminRefused` where some that were replayed fail again.
    """
    name = command.projection
    letters = await read_dead_letters(store)
    chosen = [one for one in letters if not command.positions or one.position in command.positions]
    streams = {letter.stream for letter in chosen}
    if command.what == "replay":
        left = await projector.retry_dead_letters(log, streams)
        text = f"{name} applied {len(letters) - len(left)} events; {len(left)} stay dead letters"
        if left:
            raise AdminRefused(text)
        return text
    purged = await purge(store, [letter.position for letter in chosen])
    if command.what == "purge":
        await projector.sync_with_store()
        return f"{name} purged {purged} dead letters"
    await add_skips()
    await projector.retry_dead_letters(log, streams)
    return f"{name} skips {len(command.positions)} events"
