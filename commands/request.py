"""A command on its way: who gives it, what came of it, and the append that it asks for."""

from collections.abc import Callable, Mapping
from itertools import chain
from typing import NamedTuple, Protocol

from commands.catalog import BY_COMMAND
from commands.decider import Asked, Command
from commands.errors import Conflict
from commands.sight import Source
from events.log import Append, Key, NewEvent, Remembered, Write


class Request(NamedTuple):
    """A command and who gives it (0 for a registration).

    `key` makes it happen once, however often it is asked for. `ids` replaces the source of ids
    where the command happened at another time than now.
    """

    command: Command
    actor: int
    key: Key | None = None
    ids: Callable[[], int] | None = None


class Outcome(NamedTuple):
    """What came of a command.

    `id` is that of the thing it made or is about. A view at `position` shows its effect, or what
    made it needless. `changed` is False where it asked for what already holds, `repeated` True
    where its key was known; then `id` and `position` are those of the first time. `writes` is what
    it wrote now, so that whoever tells of it need not read it back.
    """

    id: int
    position: int
    changed: bool
    repeated: bool
    writes: tuple[Write, ...] = ()


class Noting(Source, Protocol):
    """A source that notes what a decision rests on."""

    @property
    def versions(self) -> Mapping[str, int]:
        """The version of each stream looked at."""
        ...

    @property
    def position(self) -> int:
        """The newest event in them."""
        ...


def decide(request: Request, sight: Noting, new_id: Callable[[], int]) -> Append | Outcome:
    """What a command asks of the log; an `Outcome` where it asks for nothing. Raises `Rejected`.

    The first event's id is also the id of what the command makes.
    """
    decider = BY_COMMAND[type(request.command)]
    ids = request.ids or new_id
    first = ids()
    asked = Asked(request.actor, first)
    decision = decider.decide(request.command, asked, sight)
    result = first if decider.makes else decider.subject(request.command, asked)
    if not decision and request.key is None:
        return Outcome(result, sight.position, changed=False, repeated=False)
    numbers = chain((first,), iter(ids, None))
    writes = tuple(
        # Streams not looked at are new: they are named by an id made just now.
        Write(
            stream,
            sight.versions.get(stream, 0),
            tuple(NewEvent(next(numbers), event) for event in events),
        )
        for stream, events in decision
    )
    # Whoever registers acts for the account that they make.
    actor = request.actor or first
    return Append(writes, actor, result, correlation=first, key=request.key)


def repeat(key: Key, seen: Remembered) -> Outcome:
    """The outcome of a request whose key is known. Raises `Conflict` for another's key."""
    if key.fingerprint != seen.fingerprint:
        raise key_reused()
    return Outcome(seen.result, seen.position, changed=False, repeated=True)


def key_reused() -> Conflict:
    """The refusal of a key that belongs to another request."""
    return Conflict("key-reused", "this key was used for another request; choose a new key")
