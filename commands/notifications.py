"""What users read and dismissed of their notifications.

A notification is a consequence of other events, so nothing here asks whether there is one: its id
says only when it was, and what is read or dismissed up to it stays so in every rebuild.
"""

from typing import Final, NamedTuple

from commands import rules
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
from commands.errors import InvalidInput
from events import streams
from events.schema import Event, NotificationsDismissed, NotificationsRead

_END: Final = 1 << 53
"""Ids of notifications are below: JSON numbers hold them."""


class ReadNotifications(Command, frozen=True):
    """The actor has seen the notifications up to the one with the id `through`."""

    through: int


class DismissNotifications(Command, frozen=True):
    """Show the notification `last` no more; with a `first` of 0 all up to it."""

    first: int
    last: int


class NotificationState(NamedTuple):
    """How far a user has read and dismissed, and which single ones beyond were dismissed."""

    read: int = 0
    cleared: int = 0
    dismissed: frozenset[int] = frozenset()


def _evolve(state: NotificationState, event: Event) -> NotificationState:
    match event:
        case NotificationsRead(through=through):
            return state._replace(read=max(state.read, through))
        case NotificationsDismissed(first=first, last=last) if first == last:
            return state._replace(dismissed=state.dismissed | {last})
        case NotificationsDismissed(last=last):
            left = frozenset(id for id in state.dismissed if id > last)
            return state._replace(cleared=max(state.cleared, last), dismissed=left)
    return state


NOTIFICATION_STATE = Aggregate(NotificationState(), _evolve)
"""Of a stream `notifications-<user>`."""


def _decide_read(
    command: ReadNotifications, context: CommandContext, read_state: ReadState
) -> Decision:
    _check_id(command.through)
    rules.require_active_actor(context, read_state)
    stream = streams.notifications_stream(context.actor)
    if command.through <= read_state(stream, NOTIFICATION_STATE).read:
        return NO_EVENTS
    return (StreamWrite(stream, (NotificationsRead(context.actor, command.through),)),)


def _decide_dismissal(
    command: DismissNotifications, context: CommandContext, read_state: ReadState
) -> Decision:
    first, last = command.first, command.last
    _check_id(last)
    if first not in (0, last):
        message = "`first` is 0 for all up to `last`, or the same as `last` for that one"
        raise InvalidInput("notification-invalid", message)
    rules.require_active_actor(context, read_state)
    stream = streams.notifications_stream(context.actor)
    state = read_state(stream, NOTIFICATION_STATE)
    if last <= state.cleared or (first and last in state.dismissed):
        return NO_EVENTS
    return (StreamWrite(stream, (NotificationsDismissed(context.actor, first, last),)),)


def _check_id(id: int) -> None:
    if not 0 < id < _END:
        raise InvalidInput("notification-invalid", f"{id} is no id of a notification; check it")


READ_NOTIFICATIONS: Final[Decider[ReadNotifications]] = Decider(
    ReadNotifications, _decide_read, subject_id=lambda command, context: command.through
)
DISMISS_NOTIFICATIONS: Final[Decider[DismissNotifications]] = Decider(
    DismissNotifications, _decide_dismissal, subject_id=lambda command, context: command.last
)
