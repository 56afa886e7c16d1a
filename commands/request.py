"""A command on its way: who gives it, what came of it, and the append that it asks for."""

from collections.abc import Callable, Mapping
from itertools import chain
from typing import NamedTuple, Protocol

from commands.decider import Command, CommandContext
from commands.errors import StateConflict
from commands.registry import DECIDERS_BY_COMMAND
from commands.stream_reader import StateSource
from events.log import AppendRequest, IdempotencyKey, IdempotencyResult, NewEvent, StreamAppend


class CommandRequest(NamedTuple):
    """A command and who gives it (0 for a registration).

    `key` makes it happen once, however often it is asked for. `ids` replaces the source of ids
    where the command happened at another time than now.
    """

    command: Command
    actor: int
    key: IdempotencyKey | None = None
    id_source: Callable[[], int] | None = None


class CommandOutcome(NamedTuple):
    """What came of a command.

    `id` is that of the thing it made or is about. A view at `position` shows its effect, or what
    made it needless. `changed` is False where it asked for what already holds, `repeated` True
    where its key was known; then `id` and `position` are those of the first time. `writes` is what
    it wrote now, so that whoever tells of it need not read it back.
    """

    id: int
    position: int
    changed: bool
    replayed: bool
    writes: tuple[StreamAppend, ...] = ()


class TrackedSource(StateSource, Protocol):
    """A source that notes what a decision rests on."""

    @property
    def versions(self) -> Mapping[str, int]:
        """The version of each stream looked at."""
        ...

    @property
    def position(self) -> int:
        """The newest event in them."""
        ...


def decide(
    request: CommandRequest, sight: TrackedSource, new_id: Callable[[], int]
) -> AppendRequest | CommandOutcome:
    """What a command asks of the log; an `Outcome` where it asks for nothing. Raises
    `CommandRejected`.

    The first event's id is also the id of what the command makes.
    """
    decider = DECIDERS_BY_COMMAND[type(request.command)]
    ids = request.id_source or new_id
    first = ids()
    asked = CommandContext(request.actor, first)
    decision = decider.decide(request.command, asked, sight)
    result = first if decider.creates else decider.subject_id(request.command, asked)
    if not decision and request.key is None:
        return CommandOutcome(result, sight.position, changed=False, replayed=False)
    numbers = chain((first,), iter(ids, None))
    writes = tuple(
        # Streams not looked at are new: they are named by an id made just now.
        StreamAppend(
            stream,
            sight.versions.get(stream, 0),
            tuple(NewEvent(next(numbers), event) for event in events),
        )
        for stream, events in decision
    )
    # Whoever registers acts for the account that they make.
    actor = request.actor or first
    return AppendRequest(writes, actor, result, correlation=first, key=request.key)


def replay_outcome(key: IdempotencyKey, seen: IdempotencyResult) -> CommandOutcome:
    """The outcome of a request whose key is known. Raises `StateConflict` for another's key."""
    if key.fingerprint != seen.fingerprint:
        raise key_conflict()
    return CommandOutcome(seen.result_id, seen.position, changed=False, replayed=True)


def key_conflict() -> StateConflict:
    """The refusal of a key that belongs to another request."""
    return StateConflict("key-reused", "this key was used for another request; choose a new key")
