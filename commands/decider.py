"""The decider pattern: state is a fold of events, a decision is a function of state.

After Jérémie Chassaing's 'functional event sourcing decider' (2021). An `Aggregate` is how one
kind of stream folds into a state; a `Decider` turns one kind of command, and the states of the
streams that it reads, into events. Both are pure, so given/when/then tests need nothing else.

A decision reads the streams that its rule needs and appends to one, since not every log can append
to several at once. Only a registration writes two, in an order in which stopping in between is
harmless (`commands.user`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from events.schema import Event, Medium
from events.sealed_text import OpenText, as_written

S = TypeVar("S")


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wish of one actor. Fields named `post`, `user` and `reply_to` are ids.

    The names of command classes and of their fields are part of stored fingerprints
    (`commands.idempotency`): renaming one makes keys in old logs collide with their own requests.
    """


C = TypeVar("C", bound=Command, contravariant=True)


@dataclass(frozen=True, slots=True)
class Aggregate(Generic[S]):
    """How the events of one kind of stream fold into a state."""

    initial: S
    evolve: Callable[[S, Event], S]


class ReadState(Protocol):
    """The state of a stream now. Reading it notes the version that the decision depends on."""

    def __call__(self, stream: str, aggregate: Aggregate[S], /) -> S: ...


class StreamWrite(NamedTuple):
    """Events to append to a stream."""

    stream: str
    events: tuple[Event, ...]


Decision = tuple[StreamWrite, ...]
"""In the order in which they must be appended where a log can't do it at once; empty where the
command wants what already holds."""

NO_EVENTS: Decision = ()


NO_UPLOADS: Final[Mapping[str, Medium]] = MappingProxyType({})


class CommandContext(NamedTuple):
    """Who gives a command, and the id of what it creates, if it creates something.

    Texts in states are as the log holds them; `open_text` gives what was written. `uploads` are
    images that the actor uploaded and nothing shows yet, by their ids.
    """

    actor: int
    new_id: int
    open_text: OpenText = as_written
    uploads: Mapping[str, Medium] = NO_UPLOADS


@dataclass(frozen=True, slots=True)
class Decider(Generic[C]):
    """A rule: `decide(command, context, read_state)` gives a `Decision`, or raises
    `CommandRejected`.

    With `creates`, the command's result is `context.new_id`, the thing that it creates; otherwise
    it is the id that `subject_id` gives, of the thing that it is about.
    """

    command_type: type[Any]
    decide: Callable[[Any, CommandContext, ReadState], Decision]
    creates: bool = False
    subject_id: Callable[[Any, CommandContext], int] = lambda command, context: context.actor


def subject_post(command: Any, context: CommandContext) -> int:
    """The `subject_id` of commands about `command.post`."""
    post: int = command.post
    return post


def subject_user(command: Any, context: CommandContext) -> int:
    """The `subject_id` of commands about `command.user`."""
    user: int = command.user
    return user
