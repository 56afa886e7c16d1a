"""The decider pattern: state is a fold of events, a decision is a function of state.

After Jérémie Chassaing's 'functional event sourcing decider' (2021). An `Aggregate` is how one
kind of stream folds into a state; a `Decider` turns one kind of command, and the states of the
streams that it looks at, into events. Both are pure, so given/when/then tests need nothing else.

A decision reads the streams that its rule needs and appends to one, since not every log can append
to several at once. Only a registration writes two, in an order in which stopping in between is
harmless (`commands.user`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from events.schema import Event

S = TypeVar("S")


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody asks for. Fields named `post`, `user` and `reply_to` are ids."""


C = TypeVar("C", bound=Command, contravariant=True)


@dataclass(frozen=True, slots=True)
class Aggregate(Generic[S]):
    """How the events of one kind of stream fold into a state."""

    initial: S
    evolve: Callable[[S, Event], S]


class ReadState(Protocol):
    """The state of a stream now. Looking notes the version that the decision rests on."""

    def __call__(self, stream: str, aggregate: Aggregate[S], /) -> S: ...


class StreamWrite(NamedTuple):
    """Events to append to a stream."""

    stream: str
    events: tuple[Event, ...]


Decision = tuple[StreamWrite, ...]
"""In the order in which they must be appended where a log can't do it at once; empty where the
command asks for what already holds."""

NO_EVENTS: Decision = ()


class CommandContext(NamedTuple):
    """Who asks, and the id that what the command makes will have, if it makes something."""

    actor: int
    new_id: int


@dataclass(frozen=True, slots=True)
class Decider(Generic[C]):
    """A rule: `decide(command, asked, look)` gives a `Decision` or raises `CommandRejected`.

    `makes` says that the command's result is `asked.id`, the thing that it makes; otherwise
    `subject` gives the id of the thing that it is about.
    """

    name: str
    command_type: type[Any]
    decide: Callable[[Any, CommandContext, ReadState], Decision]
    creates: bool = False
    subject_id: Callable[[Any, CommandContext], int] = lambda command, asked: asked.actor
