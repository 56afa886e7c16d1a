"""A command on its way: who gives it, what came of it, and the append that it asks for."""

from collections.abc import Callable, Mapping
from itertools import chain
from typing import NamedTuple

from commands.decider import NO_UPLOADS, Command, CommandContext
from commands.errors import StateConflict
from commands.registry import DECIDERS_BY_COMMAND
from commands.stream_reader import StateSource
from events.log import AppendRequest, IdempotencyKey, IdempotencyResult, NewEvent, StreamAppend
from events.schema import Medium
from events.sealed_text import OpenText, as_written


class CommandRequest(NamedTuple):
    """A command and the user who gives it (0 for a registration).

    With a `key` the command is done once, however often the request is sent. `id_source` replaces
    the generator of ids where the command happened at another time than now. `uploads` are those of
    the actor's that the command names.
    """

    command: Command
    actor: int
    key: IdempotencyKey | None = None
    id_source: Callable[[], int] | None = None
    uploads: Mapping[str, Medium] = NO_UPLOADS


class CommandOutcome(NamedTuple):
    """What came of an accepted command."""

    id: int
    """Of the thing that the command created or is about."""
    position: int
    """A view that has come so far shows the command's effect, or what made it needless."""
    changed: bool
    """False where the command wanted what holds already."""
    replayed: bool
    """True where the key was used before: `id` and `position` are those of the first time."""
    writes: tuple[StreamAppend, ...] = ()
    """What was appended now, so that a caller that shows it need not read it back."""


def decide(
    request: CommandRequest,
    source: StateSource,
    new_id: Callable[[], int],
    open_text: OpenText = as_written,
) -> AppendRequest | CommandOutcome:
    """The append that a command needs, or its outcome where it needs none.

    The first event's id is also the id of what the command creates. Raises `CommandRejected`.
    """
    decider = DECIDERS_BY_COMMAND[type(request.command)]
    next_id = request.id_source or new_id
    first_id = next_id()
    context = CommandContext(request.actor, first_id, open_text, request.uploads)
    decision = decider.decide(request.command, context, source)
    result_id = first_id if decider.creates else decider.subject_id(request.command, context)
    if not decision and request.key is None:
        return CommandOutcome(result_id, source.position, changed=False, replayed=False)
    ids = chain((first_id,), iter(next_id, None))
    writes = tuple(
        # A stream that was not read is new: its name holds the id made just now.
        StreamAppend(
            stream,
            source.versions.get(stream, 0),
            tuple(NewEvent(next(ids), event) for event in events),
        )
        for stream, events in decision
    )
    # The actor of a registration is the account that it creates.
    actor = request.actor or first_id
    return AppendRequest(writes, actor, result_id, correlation=first_id, key=request.key)


def replay_outcome(key: IdempotencyKey, first: IdempotencyResult) -> CommandOutcome:
    """The outcome of a request whose key was used before. Raises `StateConflict` where the first
    request was another one.
    """
    if key.fingerprint != first.fingerprint:
        raise key_conflict()
    return CommandOutcome(first.result_id, first.position, changed=False, replayed=True)


def key_conflict() -> StateConflict:
    """The rejection of a key that belongs to another request."""
    return StateConflict("key-reused", "this key was used for another request; choose a new key")
