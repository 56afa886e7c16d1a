"""Rules of likes, retweets, follows, blocks and mutes."""

from collections.abc import Callable
from typing import Any

import pytest

from commands.block import Block, Mute, Unblock, Unmute
from commands.decider import Command
from commands.errors import InvalidInput, NotAllowed, NotFound
from commands.follow import Follow, RemoveFollower, Unfollow
from commands.like import Like, Unlike
from commands.post import Comment, CreatePost, DeletePost, EditPost
from commands.retweet import Retweet, Unretweet
from events import schema
from events.ids.snowflake import EPOCH_MS
from events.schema import Event, UserDeleted
from tests.support.decider_dsl import (
    ANNA,
    ANNA_POSTED,
    BEN,
    BEN_POSTED,
    NO_HISTORY,
    PEOPLE,
    POST,
)

TO_POST: list[tuple[Command, Command, Event, Event]] = [
    (
        Like(POST),
        Unlike(POST),
        schema.PostLiked(POST, ANNA, BEN),
        schema.PostUnliked(POST, ANNA, BEN),
    ),
    (
        Retweet(POST),
        Unretweet(POST),
        schema.PostRetweeted(POST, ANNA, BEN),
        schema.PostUnretweeted(POST, ANNA, BEN),
    ),
]
TO_USER: list[tuple[Command, Command, Event, Event]] = [
    (
        Follow(BEN),
        Unfollow(BEN),
        schema.UserFollowed(BEN, ANNA),
        schema.UserUnfollowed(BEN, ANNA),
    ),
    (Block(BEN), Unblock(BEN), schema.UserBlocked(ANNA, BEN), schema.UserUnblocked(ANNA, BEN)),
    (Mute(BEN), Unmute(BEN), schema.UserMuted(ANNA, BEN), schema.UserUnmuted(ANNA, BEN)),
]


@pytest.mark.parametrize(("do", "undo", "done", "undone"), TO_POST + TO_USER)
def test_a_relation_is_created_once_and_undone_once(
    do: Command, undo: Command, done: Event, undone: Event
) -> None:
    BEN_POSTED.when(do).then(done)
    BEN_POSTED.when(do).then_idempotent()
    BEN_POSTED.when(undo).then_nothing()
    made = BEN_POSTED.and_then(done)
    made.when(undo).then(undone)
    made.when(undo).then_idempotent()


@pytest.mark.parametrize(("do", "undo", "done", "undone"), TO_POST + TO_USER[::2])
def test_a_relation_can_be_made_again(
    do: Command, undo: Command, done: Event, undone: Event
) -> None:
    BEN_POSTED.and_then(done, undone).when(do).then(done)


@pytest.mark.parametrize("command", [Like(POST), Retweet(POST), Comment(POST, "x")])
def test_no_user_reacts_to_a_post_that_never_existed(command: Command) -> None:
    PEOPLE.when(command).then_rejected("post-not-found", NotFound)


@pytest.mark.parametrize(
    "command", [Like(POST), Retweet(POST), Comment(POST, "x"), CreatePost("x", POST)]
)
@pytest.mark.parametrize("end", [schema.PostDeleted(POST, BEN), UserDeleted(BEN, "ben")])
def test_no_user_reacts_to_a_deleted_post_or_one_of_a_deleted_account(
    command: Command, end: Event
) -> None:
    BEN_POSTED.and_then(end).when(command).then_rejected("post-not-found", NotFound)


@pytest.mark.parametrize(
    "command", [Like(POST), Retweet(POST), Comment(POST, "x"), CreatePost("x", POST)]
)
def test_no_user_reacts_to_a_post_across_a_block(command: Command) -> None:
    blocked = BEN_POSTED.and_then(schema.UserBlocked(BEN, ANNA))
    blocked.when(command).then_rejected("blocked", NotAllowed)
    blocking = BEN_POSTED.and_then(schema.UserBlocked(ANNA, BEN))
    blocking.when(command).then_rejected("blocking", NotAllowed)
    both = blocking.and_then(schema.UserBlocked(BEN, ANNA))
    both.when(command).then_rejected("blocked", NotAllowed)


@pytest.mark.parametrize(("do", "undo", "done", "undone"), TO_POST)
@pytest.mark.parametrize(
    "since",
    [
        schema.PostDeleted(POST, BEN),
        UserDeleted(BEN, "ben"),
        schema.UserBlocked(BEN, ANNA),
    ],
)
def test_undoing_a_reaction_is_always_allowed(
    since: Event, do: Command, undo: Command, done: Event, undone: Event
) -> None:
    BEN_POSTED.and_then(done, since).when(undo).then(undone)


@pytest.mark.parametrize("undo", [Unlike(POST), Unretweet(POST)])
def test_undoing_a_reaction_to_an_unknown_post_is_refused(undo: Command) -> None:
    PEOPLE.when(undo).then_rejected("post-not-found", NotFound)


def test_ones_own_posts_can_be_liked_and_retweeted() -> None:
    ANNA_POSTED.when(Like(POST)).then(schema.PostLiked(POST, ANNA, ANNA))
    ANNA_POSTED.when(Retweet(POST)).then(schema.PostRetweeted(POST, ANNA, ANNA))


@pytest.mark.parametrize(
    ("command", "code"),
    [(Follow(ANNA), "self-follow"), (Block(ANNA), "self-block"), (Mute(ANNA), "self-mute")],
)
def test_no_user_follows_blocks_or_mutes_themselves(command: Command, code: str) -> None:
    PEOPLE.when(command).then_rejected(code, InvalidInput)


@pytest.mark.parametrize("command", [Unfollow(ANNA), Unblock(ANNA), Unmute(ANNA)])
def test_undoing_a_relation_with_oneself_changes_nothing(command: Command) -> None:
    PEOPLE.when(command).then_nothing()


@pytest.mark.parametrize("make", [Follow, Unfollow, Block, Unblock, Mute, Unmute])
def test_a_user_who_never_existed_is_not_found(make: Callable[[int], Command]) -> None:
    PEOPLE.when(make(4711)).then_rejected("user-not-found", NotFound)
    claimed = PEOPLE.and_then(schema.HandleClaimed("dora", 4711))
    claimed.when(make(4711)).then_rejected("user-not-found", NotFound)


@pytest.mark.parametrize(("do", "undo", "done", "undone"), TO_USER)
def test_a_deleted_user_is_only_let_go(
    do: Command, undo: Command, done: Event, undone: Event
) -> None:
    gone = PEOPLE.and_then(done, UserDeleted(BEN, "ben"))
    gone.when(do).then_rejected("user-not-found", NotFound)
    gone.when(undo).then(undone)


def test_no_user_follows_across_a_block() -> None:
    blocked = PEOPLE.and_then(schema.UserBlocked(BEN, ANNA))
    blocked.when(Follow(BEN)).then_rejected("blocked", NotAllowed)
    blocked.when(Follow(ANNA), BEN).then_rejected("blocking", NotAllowed)


@pytest.mark.parametrize("block", [schema.UserBlocked(BEN, ANNA), schema.UserBlocked(ANNA, BEN)])
def test_a_block_by_either_ends_the_follow_for_good(block: schema.UserBlocked) -> None:
    unblock = schema.UserUnblocked(block.blocker, block.blocked)
    ended = PEOPLE.and_then(schema.UserFollowed(BEN, ANNA), block)
    ended.when(Unfollow(BEN)).then_nothing()
    ended.and_then(unblock).when(Unfollow(BEN)).then_nothing()
    ended.and_then(unblock).when(Follow(BEN)).then(schema.UserFollowed(BEN, ANNA, blocks=1))
    again = ended.and_then(unblock, schema.UserFollowed(BEN, ANNA, blocks=1))
    again.when(Follow(BEN)).then_nothing()
    again.when(Unfollow(BEN)).then(schema.UserUnfollowed(BEN, ANNA))


def test_a_follow_decided_before_a_block_and_written_after_it_is_over() -> None:
    raced = PEOPLE.and_then(
        schema.UserBlocked(BEN, ANNA),
        schema.UserFollowed(BEN, ANNA, blocks=0),
        schema.UserUnblocked(BEN, ANNA),
    )
    raced.when(Unfollow(BEN)).then_nothing()
    raced.when(Follow(BEN)).then(schema.UserFollowed(BEN, ANNA, blocks=1))


def test_blocks_of_a_pair_are_counted_in_both_directions() -> None:
    quarrel = PEOPLE.and_then(
        schema.UserBlocked(BEN, ANNA, 1),
        schema.UserUnblocked(BEN, ANNA),
        schema.UserBlocked(ANNA, BEN, 1),
        schema.UserUnblocked(ANNA, BEN),
    )
    quarrel.when(Block(ANNA), BEN).then(schema.UserBlocked(BEN, ANNA, count=2))
    quarrel.when(Follow(BEN)).then(schema.UserFollowed(BEN, ANNA, blocks=2))


EVERYTHING: list[Command] = [
    CreatePost("x"),
    Comment(POST, "x"),
    EditPost(POST, "x"),
    DeletePost(POST),
    *(command for do, undo, _, _ in TO_POST + TO_USER for command in (do, undo)),
]


@pytest.mark.parametrize("command", EVERYTHING)
def test_a_deleted_account_can_do_nothing(command: Command) -> None:
    gone = BEN_POSTED.and_then(UserDeleted(ANNA, "anna"))
    gone.when(command).then_rejected("account-deleted", NotAllowed)


@pytest.mark.parametrize("command", EVERYTHING)
def test_an_actor_without_an_account_can_do_nothing(command: Command) -> None:
    NO_HISTORY.when(command).then_rejected("account-unknown", NotAllowed)


def test_a_follower_is_removed_once_and_only_while_following() -> None:
    followed = BEN_POSTED.and_then(schema.UserFollowed(ANNA, BEN))
    followed.when(RemoveFollower(BEN)).then(schema.UserUnfollowed(ANNA, BEN))
    followed.when(RemoveFollower(BEN)).then_idempotent()
    BEN_POSTED.when(RemoveFollower(BEN)).then_nothing()
    blocked = followed.and_then(schema.UserBlocked(BEN, ANNA))
    blocked.when(RemoveFollower(BEN)).then_nothing()


@pytest.mark.parametrize(
    ("terms", "until", "notifications"),
    [
        ({}, 0, True),
        ({"notifications": False}, 0, False),
        ({"seconds": 60}, EPOCH_MS + 60_000, True),
        ({"until": EPOCH_MS + 9, "notifications": True}, EPOCH_MS + 9, True),
    ],
)
def test_a_mute_counts_its_time_from_that_of_the_command(
    terms: dict[str, Any], until: int, notifications: bool
) -> None:
    muted = schema.UserMuted(ANNA, BEN, until, notifications)
    PEOPLE.when(Mute(BEN, **terms)).then(muted)
    PEOPLE.when(Mute(BEN, **terms)).then_idempotent()


def test_other_terms_replace_those_of_a_mute() -> None:
    awhile = PEOPLE.and_then(schema.UserMuted(ANNA, BEN, EPOCH_MS + 9, False))
    awhile.when(Mute(BEN)).then(schema.UserMuted(ANNA, BEN))
    awhile.when(Unmute(BEN)).then(schema.UserUnmuted(ANNA, BEN))


@pytest.mark.parametrize(
    "terms",
    [{"seconds": 0}, {"seconds": -1}, {"seconds": 10**12}, {"until": EPOCH_MS},
     {"until": EPOCH_MS + 1, "seconds": 1}],
)  # fmt: skip
def test_a_mute_ends_at_a_time_to_come(terms: dict[str, Any]) -> None:
    PEOPLE.when(Mute(BEN, **terms)).then_rejected("mute-invalid", InvalidInput)
