"""Muted conversations: threads of which a user wants no notifications. No other user sees them.

A mute holds for a post and for all below it. So the thread of a post is muted at its first post,
which the views know: what a post answers never changes.
"""

from typing import Final

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
    subject_post,
)
from events import streams
from events.schema import ConversationMuted, ConversationUnmuted


class MuteConversation(Command, frozen=True):
    """Have no notifications of a post and of what answers it. The post may be deleted by now."""

    post: int


class UnmuteConversation(Command, frozen=True):
    """Have them again."""

    post: int


MUTED = Aggregate(False, lambda muted, event: isinstance(event, ConversationMuted))
"""Of a stream `conversation-<post>-<user>`."""


def _decide_mute(
    command: MuteConversation, context: CommandContext, read_state: ReadState
) -> Decision:
    rules.require_active_actor(context, read_state)
    rules.require_author(command.post, read_state)
    stream = streams.conversation_stream(command.post, context.actor)
    if read_state(stream, MUTED):
        return NO_EVENTS
    return (StreamWrite(stream, (ConversationMuted(command.post, context.actor),)),)


def _decide_unmute(
    command: UnmuteConversation, context: CommandContext, read_state: ReadState
) -> Decision:
    rules.require_active_actor(context, read_state)
    rules.require_author(command.post, read_state)
    stream = streams.conversation_stream(command.post, context.actor)
    if not read_state(stream, MUTED):
        return NO_EVENTS
    return (StreamWrite(stream, (ConversationUnmuted(command.post, context.actor),)),)


MUTE_CONVERSATION: Final[Decider[MuteConversation]] = Decider(
    MuteConversation, _decide_mute, subject_id=subject_post
)
UNMUTE_CONVERSATION: Final[Decider[UnmuteConversation]] = Decider(
    UnmuteConversation, _decide_unmute, subject_id=subject_post
)
