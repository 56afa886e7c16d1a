"""Muting conversations."""

from commands.errors import NotFound
from commands.muted_conversation import MuteConversation, UnmuteConversation
from events.schema import ConversationMuted, ConversationUnmuted, PostDeleted
from tests.support.decider_dsl import ANNA, BEN, BEN_POSTED, PEOPLE, POST

MUTED = ConversationMuted(POST, ANNA)


def test_a_conversation_is_muted_once_and_until_it_is_taken_back() -> None:
    BEN_POSTED.when(MuteConversation(POST)).then(MUTED)
    muted = BEN_POSTED.and_then(MUTED)
    muted.when(MuteConversation(POST)).then_nothing()
    muted.when(UnmuteConversation(POST)).then(ConversationUnmuted(POST, ANNA))
    BEN_POSTED.when(UnmuteConversation(POST)).then_nothing()
    muted.and_then(ConversationUnmuted(POST, ANNA)).when(MuteConversation(POST)).then(MUTED)


def test_what_is_left_of_a_conversation_is_muted_at_its_deleted_first_post() -> None:
    BEN_POSTED.and_then(PostDeleted(POST, BEN)).when(MuteConversation(POST)).then(MUTED)
    PEOPLE.when(MuteConversation(POST)).then_rejected("post-not-found", NotFound)
