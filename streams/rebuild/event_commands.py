"""Commands about single events: dead letters are replayed, purged or skipped, skips taken back.

For the process that may write the view. What an operator names has to be there: a dead letter, a
skip, or the event at which a rebuild stopped. A position that is none of them is refused, since the
next acknowledged event might have it.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import NamedTuple

from events.log import EventLog
from projections.store import ReadStore
from streams.projecting.dead_letters import DeadLetter, TolerantProjector, purge, read_dead_letters
from streams.rebuild.admin import AdminCommand, AdminRefused
from streams.rebuild.jobs import RebuildBackend, cancel_rebuild

SaveSkips = Callable[[frozenset[int]], Awaitable[None]]
"""Replaces the positions that a projection leaves out, live and in rebuilds."""


class OpenView(NamedTuple):
    """The live view of a projection, open for writing."""

    store: ReadStore
    projector: TolerantProjector


class EventCommands:
    """Carries out commands about events of one projection, which may have no `view` yet.

    `skips` are the positions that it leaves out now.
    """

    def __init__(
        self,
        log: EventLog,
        backend: RebuildBackend,
        view: OpenView | None,
        skips: frozenset[int],
        save_skips: SaveSkips,
    ) -> None:
        self._log, self._backend, self._view = log, backend, view
        self._skips, self._save_skips = skips, save_skips

    async def execute(self, command: AdminCommand) -> str:
        """Carry a command out; a sentence about it.

        Raises `AdminRefused`, also where dead letters that were replayed fail again.
        """
        match command.what:
            case "skip":
                return await self._skip(command.projection, command.positions)
            case "unskip":
                return await self._unskip(command.projection, command.positions)
        if self._view is None:
            raise AdminRefused(f"{command.projection} has no view yet")
        letters = await read_dead_letters(self._view.store)
        _require_known(command, {letter.position for letter in letters})
        chosen = [
            one for one in letters if not command.positions or one.position in command.positions
        ]
        if command.what == "purge":
            return await self._purge(command.projection, self._view, chosen)
        return await self._replay(command.projection, self._view, letters, chosen)

    async def _replay(
        self, name: str, view: OpenView, letters: list[DeadLetter], chosen: list[DeadLetter]
    ) -> str:
        left = await view.projector.retry_dead_letters(self._log, {one.stream for one in chosen})
        remaining = {letter.position for letter in left}
        await self._settle_rebuild(name, {letter.position for letter in letters} - remaining)
        text = f"{name} applied {len(letters) - len(left)} events; {len(left)} stay dead letters"
        if left:
            raise AdminRefused(text)
        return text

    async def _purge(self, name: str, view: OpenView, chosen: list[DeadLetter]) -> str:
        purged = await purge(view.store, [letter.position for letter in chosen])
        await view.projector.sync_with_store()
        return f"{name} purged {purged} dead letters"

    async def _skip(self, name: str, positions: Collection[int]) -> str:
        letters = await read_dead_letters(self._view.store) if self._view is not None else []
        stopped_at = await self._stopped_at(name)
        known = {letter.position for letter in letters} | self._skips | {stopped_at}
        if unknown := [position for position in positions if position not in known or not position]:
            raise AdminRefused(
                f"{name} can't skip {_listed(unknown)}: only a dead letter can be skipped, or the "
                f"event at which a rebuild stopped; see 'starling dlq list {name}'"
            )
        skipped = [letter for letter in letters if letter.position in positions]
        if self._view is not None:
            await purge(self._view.store, [letter.position for letter in skipped])
        await self._save_skips(self._skips | set(positions))
        if self._view is not None:
            streams = {letter.stream for letter in skipped}
            await self._view.projector.retry_dead_letters(self._log, streams)
        await self._settle_rebuild(name, positions)
        return f"{name} skips {len(positions)} events"

    async def _unskip(self, name: str, positions: Collection[int]) -> str:
        if unknown := [position for position in positions if position not in self._skips]:
            raise AdminRefused(
                f"{name} does not skip {_listed(unknown)}; see 'starling projections status {name}'"
            )
        await self._save_skips(self._skips - set(positions))
        return (
            f"{name} skips {len(positions)} events less; what it has left out until now "
            f"'starling projections rebuild {name}' brings back"
        )

    async def _stopped_at(self, name: str) -> int:
        """The position of the event at which a rebuild stopped; 0 for none."""
        record = await self._backend.read_record(name)
        return record.stopped_at if record is not None and record.state == "failed" else 0

    async def _settle_rebuild(self, name: str, positions: Collection[int]) -> None:
        """Forget a failed rebuild that stopped at an event that is dealt with now."""
        stopped_at = await self._stopped_at(name)
        if stopped_at and stopped_at in positions:
            await cancel_rebuild(self._backend, name)


def _require_known(command: AdminCommand, letters: Collection[int]) -> None:
    if unknown := [position for position in command.positions if position not in letters]:
        raise AdminRefused(
            f"{command.projection} has no dead letter at {_listed(unknown)}; "
            f"see 'starling dlq list {command.projection}'"
        )


def _listed(positions: Iterable[int]) -> str:
    found = sorted(positions)
    return f"position{'s' if len(found) > 1 else ''} {', '.join(map(str, found))}"
