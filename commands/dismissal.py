"""Dismissals: which users a user doesn't want to have recommended."""

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
    subject_user,
)
from commands.errors import InvalidInput
from events import streams
from events.schema import RecommendationDismissed


class DismissRecommendation(Command, frozen=True):
    """Don't recommend `user` to the actor again."""

    user: int


DISMISSED = Aggregate(False, lambda dismissed, event: True)
"""Of a stream `dismissal-<user>-<dismissed>`: it begins with the dismissal."""


def _decide_dismissal(
    command: DismissRecommendation, context: CommandContext, read_state: ReadState
) -> Decision:
    if command.user == context.actor:
        message = "users are never recommended to themselves; name another user"
        raise InvalidInput("self-dismissal", message)
    rules.require_active_actor(context, read_state)
    rules.require_known_user(command.user, read_state)
    stream = streams.dismissal_stream(context.actor, command.user)
    if read_state(stream, DISMISSED):
        return NO_EVENTS
    return (StreamWrite(stream, (RecommendationDismissed(context.actor, command.user),)),)


DISMISS_RECOMMENDATION: Final[Decider[DismissRecommendation]] = Decider(
    DismissRecommendation, _decide_dismissal, subject_id=subject_user
)
