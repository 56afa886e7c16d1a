"""What operators decide."""

import pytest

from commands.errors import InvalidInput, NotAllowed, NotFound
from commands.like import Like
from commands.moderation import RemovePost, SuspendAccount, UnsuspendAccount
from commands.post import CreatePost, DeletePost, EditPost
from events.schema import (
    AccountSuspended,
    AccountUnsuspended,
    PostCreated,
    PostDeleted,
    PostRemoved,
    UserDeleted,
)
from tests.support.decider_dsl import ANNA, BEN, BEN_POSTED, COMMENT, PEOPLE, POST

REMOVED = BEN_POSTED.and_then(PostRemoved(POST, BEN, None, "spam"))
SUSPENDED = BEN_POSTED.and_then(AccountSuspended(BEN, "spam"))


def test_a_removed_post_is_gone_for_its_author_and_for_others() -> None:
    BEN_POSTED.when(RemovePost(POST, " spam ")).then(PostRemoved(POST, BEN, None, "spam"))
    REMOVED.when(RemovePost(POST, "again")).then_nothing()
    REMOVED.when(Like(POST)).then_rejected("post-not-found", NotFound)
    REMOVED.when(EditPost(POST, "y"), BEN).then_rejected("post-not-found", NotFound)
    PEOPLE.when(RemovePost(4711, "spam")).then_rejected("post-not-found", NotFound)


def test_a_removal_knows_what_the_post_answered() -> None:
    answered = BEN_POSTED.and_then(PostCreated(COMMENT, BEN, "x", POST))
    answered.when(RemovePost(COMMENT, "r")).then(PostRemoved(COMMENT, BEN, POST, "r"))


def test_the_author_deletes_a_removed_post_once_so_that_its_text_is_erased() -> None:
    REMOVED.when(DeletePost(POST), BEN).then(PostDeleted(POST, BEN))
    REMOVED.and_then(PostDeleted(POST, BEN)).when(DeletePost(POST), BEN).then_nothing()


def test_a_suspended_account_writes_nothing_and_is_told_why() -> None:
    BEN_POSTED.when(SuspendAccount(BEN, "spam")).then(AccountSuspended(BEN, "spam"))
    SUSPENDED.when(SuspendAccount(BEN, "more")).then_nothing()
    SUSPENDED.when(CreatePost("x"), BEN).then_rejected("account-suspended", NotAllowed)
    SUSPENDED.when(Like(POST)).then_rejected("post-not-found", NotFound)


def test_a_suspension_ends() -> None:
    SUSPENDED.when(UnsuspendAccount(BEN, "sorry")).then(AccountUnsuspended(BEN, "sorry"))
    ended = SUSPENDED.and_then(AccountUnsuspended(BEN, "sorry"))
    ended.when(UnsuspendAccount(BEN, "sorry")).then_nothing()
    ended.when(CreatePost("x"), BEN).then(PostCreated(999, BEN, "x"))


@pytest.mark.parametrize("reason", ["", "  ", "\u200b", "a" * 501])
def test_there_is_a_reason(reason: str) -> None:
    BEN_POSTED.when(RemovePost(POST, reason)).then_rejected("reason-invalid", InvalidInput)
    PEOPLE.when(SuspendAccount(BEN, reason)).then_rejected("reason-invalid", InvalidInput)


def test_operators_suspend_others_who_have_an_account() -> None:
    PEOPLE.when(SuspendAccount(ANNA, "x")).then_rejected("self-suspension", InvalidInput)
    PEOPLE.when(SuspendAccount(4711, "x")).then_rejected("user-not-found", NotFound)
    gone = PEOPLE.and_then(UserDeleted(BEN, "ben"))
    gone.when(UnsuspendAccount(BEN, "x")).then_rejected("user-not-found", NotFound)
