"""Lists: accounts whose posts a user reads apart. Only their owner sees them.

A member is followed by the list's owner; what a list shows of others, its reader decides
(`projections.list_timeline`), since a follow can end at any time.
"""

from typing import Any, Final, NamedTuple

from commands import rules, text
from commands.decider import (
    NO_EVENTS,
    Aggregate,
    Command,
    CommandContext,
    Decider,
    Decision,
    ReadState,
    StreamWrite,
)
from commands.errors import InvalidInput, NotFound
from events import streams
from events.schema import Event, ListChanged, ListDeleted, ListMemberAdded, ListMemberRemoved

MAX_TITLE_LENGTH: Final = 100
MAX_MEMBERS: Final = 500
REPLIES_POLICIES: Final = ("followed", "list", "none")
"""Which answers a list shows: those to accounts that its owner follows, to its members, or none."""


class CreateList(Command, frozen=True):
    """Make a list."""

    title: str
    replies_policy: str = "list"


class ChangeList(Command, frozen=True):
    """Change one's own list; None leaves a value as it is."""

    list: int
    title: str | None = None
    replies_policy: str | None = None


class DeleteList(Command, frozen=True):
    """Delete one's own list."""

    list: int


class AddListMember(Command, frozen=True):
    """Put an account on one's own list."""

    list: int
    user: int


class RemoveListMember(Command, frozen=True):
    """Take an account off one's own list."""

    list: int
    user: int


class ListState(NamedTuple):
    """The state of a list; owner 0 means that there is none (any more)."""

    owner: int = 0
    title: str = ""
    replies_policy: str = ""
    members: frozenset[int] = frozenset()


def _evolve(state: ListState, event: Event) -> ListState:
    match event:
        case ListChanged(user=user, title=title, replies_policy=policy):
            return state._replace(owner=user, title=title, replies_policy=policy)
        case ListMemberAdded(member=member):
            return state._replace(members=state.members | {member})
        case ListMemberRemoved(member=member):
            return state._replace(members=state.members - {member})
        case ListDeleted():
            return ListState()
    return state


LIST_STATE = Aggregate(ListState(), _evolve)
"""Of a stream `list-<id>`."""


def _checked_title(written: str) -> str:
    title = text.normalise_bounded(written, MAX_TITLE_LENGTH)
    if text.is_invisible(title):
        raise InvalidInput(
            "title-empty",
            f"nothing in the title can be seen; give one of 1 to {MAX_TITLE_LENGTH} characters",
        )
    if len(title) > MAX_TITLE_LENGTH:
        raise InvalidInput(
            "title-too-long",
            f"the title has {len(title)} characters; shorten it to {MAX_TITLE_LENGTH}",
        )
    if not title.isprintable():
        raise InvalidInput("title-invalid", "the title holds control characters; take them out")
    return title


def _checked_policy(policy: str) -> str:
    if policy not in REPLIES_POLICIES:
        raise InvalidInput(
            "replies-policy-invalid", f"`replies_policy` is one of {', '.join(REPLIES_POLICIES)}"
        )
    return policy


def _require_own_list(id: int, context: CommandContext, read_state: ReadState) -> ListState:
    rules.require_active_actor(context, read_state)
    state = read_state(streams.list_stream(id), LIST_STATE)
    if state.owner != context.actor:  # lists are private: others' are not there
        raise no_such_list(id)
    return state


def no_such_list(id: int) -> NotFound:
    """The error for a list that another user has, or that isn't there (any more)."""
    return NotFound("list-not-found", f"you have no list {id} (any more); check the id")


def _decide_creation(
    command: CreateList, context: CommandContext, read_state: ReadState
) -> Decision:
    title, policy = _checked_title(command.title), _checked_policy(command.replies_policy)
    rules.require_active_actor(context, read_state)
    created = ListChanged(context.new_id, context.actor, title, policy)
    return (StreamWrite(streams.list_stream(context.new_id), (created,)),)


def _decide_change(command: ChangeList, context: CommandContext, read_state: ReadState) -> Decision:
    state = _require_own_list(command.list, context, read_state)
    old = context.open_text(state.title)
    title = old if command.title is None else _checked_title(command.title)
    policy = state.replies_policy
    if command.replies_policy is not None:
        policy = _checked_policy(command.replies_policy)
    if (title, policy) == (old, state.replies_policy):
        return NO_EVENTS
    changed = ListChanged(command.list, context.actor, title, policy)
    return (StreamWrite(streams.list_stream(command.list), (changed,)),)


def _decide_deletion(
    command: DeleteList, context: CommandContext, read_state: ReadState
) -> Decision:
    _require_own_list(command.list, context, read_state)
    deleted = ListDeleted(command.list, context.actor)
    return (StreamWrite(streams.list_stream(command.list), (deleted,)),)


def _decide_addition(
    command: AddListMember, context: CommandContext, read_state: ReadState
) -> Decision:
    state = _require_own_list(command.list, context, read_state)
    if command.user in state.members:
        return NO_EVENTS
    rules.require_active_user(command.user, read_state)
    if len(state.members) >= MAX_MEMBERS:
        raise InvalidInput(
            "list-full", f"a list has {MAX_MEMBERS} members at most: take others off it"
        )
    added = ListMemberAdded(command.list, context.actor, command.user)
    return (StreamWrite(streams.list_stream(command.list), (added,)),)


def _decide_removal(
    command: RemoveListMember, context: CommandContext, read_state: ReadState
) -> Decision:
    state = _require_own_list(command.list, context, read_state)
    if command.user not in state.members:
        return NO_EVENTS
    removed = ListMemberRemoved(command.list, context.actor, command.user)
    return (StreamWrite(streams.list_stream(command.list), (removed,)),)


def _subject_list(command: Any, context: CommandContext) -> int:
    subject: int = command.list
    return subject


CREATE_LIST: Final[Decider[CreateList]] = Decider(CreateList, _decide_creation, creates=True)
CHANGE_LIST: Final[Decider[ChangeList]] = Decider(
    ChangeList, _decide_change, subject_id=_subject_list
)
DELETE_LIST: Final[Decider[DeleteList]] = Decider(
    DeleteList, _decide_deletion, subject_id=_subject_list
)
ADD_LIST_MEMBER: Final[Decider[AddListMember]] = Decider(
    AddListMember, _decide_addition, subject_id=_subject_list
)
REMOVE_LIST_MEMBER: Final[Decider[RemoveListMember]] = Decider(
    RemoveListMember, _decide_removal, subject_id=_subject_list
)
