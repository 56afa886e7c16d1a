"""Moderation: an operator removes a post, suspends an account, and lets it go on.

Whether the actor is an operator is the door's to check: the API asks for the scope `operator`, the
command line for the data folder.
"""

from typing import Final

from commands import rules, text
from commands.decider import (
    NO_EVENTS,
    Command,
    CommandContext,
    Decider,
    Decision,
    ReadState,
    StreamWrite,
    subject_post,
    subject_user,
)
from commands.errors import InvalidInput
from commands.rules import AccountStatus
from events import streams
from events.schema import AccountSuspended, AccountUnsuspended, Event, PostRemoved

MAX_REASON_LENGTH: Final = 500


class RemovePost(Command, frozen=True):
    """Remove a post of any author's, for a reason that the author is told."""

    post: int
    reason: str


class SuspendAccount(Command, frozen=True):
    """Keep an account from writing and from being seen, for a reason that it is told."""

    user: int
    reason: str


class UnsuspendAccount(Command, frozen=True):
    """End the suspension."""

    user: int
    reason: str


def _checked_reason(reason: str) -> str:
    reason = reason.strip()
    if not 1 <= len(reason) <= MAX_REASON_LENGTH or text.is_invisible(reason):
        message = f"give a reason of 1 to {MAX_REASON_LENGTH} characters: its user is told"
        raise InvalidInput("reason-invalid", message)
    return text.normalise_text(reason)


def _decide_removal(
    command: RemovePost, context: CommandContext, read_state: ReadState
) -> Decision:
    reason = _checked_reason(command.reason)
    rules.require_active_actor(context, read_state)
    stream = streams.post_stream(command.post)
    post = read_state(stream, rules.POST_STATUS)
    if not post.author:
        raise rules.post_not_found(command.post)
    if post.deleted:
        return NO_EVENTS
    removed = PostRemoved(command.post, post.author, post.reply_to, reason)
    return (StreamWrite(stream, (removed,)),)


def _decide_suspension(
    command: SuspendAccount, context: CommandContext, read_state: ReadState
) -> Decision:
    if command.user == context.actor:
        raise InvalidInput("self-suspension", "operators can't suspend themselves")
    event = AccountSuspended(command.user, _checked_reason(command.reason))
    return _decide_status(event, AccountStatus.SUSPENDED, command.user, context, read_state)


def _decide_end_of_suspension(
    command: UnsuspendAccount, context: CommandContext, read_state: ReadState
) -> Decision:
    event = AccountUnsuspended(command.user, _checked_reason(command.reason))
    return _decide_status(event, AccountStatus.ACTIVE, command.user, context, read_state)


def _decide_status(
    event: Event, wanted: AccountStatus, user: int, context: CommandContext, read_state: ReadState
) -> Decision:
    rules.require_active_actor(context, read_state)
    stream = streams.user_stream(user)
    status = read_state(stream, rules.ACCOUNT_STATUS)
    if status in (AccountStatus.UNKNOWN, AccountStatus.DELETED):
        raise rules.user_not_found(user)
    return NO_EVENTS if status is wanted else (StreamWrite(stream, (event,)),)


REMOVE_POST: Final[Decider[RemovePost]] = Decider(
    RemovePost, _decide_removal, subject_id=subject_post
)
SUSPEND_ACCOUNT: Final[Decider[SuspendAccount]] = Decider(
    SuspendAccount, _decide_suspension, subject_id=subject_user
)
UNSUSPEND_ACCOUNT: Final[Decider[UnsuspendAccount]] = Decider(
    UnsuspendAccount, _decide_end_of_suspension, subject_id=subject_user
)
