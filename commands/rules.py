"""What a decider may ask about streams that aren't its own.

Deciders don't know one another; what several rules need to know of users, posts and blocks is said
once, here. Each question looks at the streams it needs and refuses with a reason where the answer
ends the command.
"""

from enum import Enum
from typing import NamedTuple

from commands.decider import Aggregate, CommandContext, ReadState
from commands.errors import NotAllowed, NotFound
from events import streams
from events.schema import (
    Event,
    HandleClaimed,
    PostCreated,
    PostDeleted,
    UserBlocked,
    UserDeleted,
    UserRegistered,
    UserUnblocked,
)


class AccountStatus(Enum):
    """Where an account is in its life. A claim without a registration is `UNKNOWN` too."""

    UNKNOWN = 0
    ACTIVE = 1
    DELETED = 2


def _evolve_account_status(state: AccountStatus, event: Event) -> AccountStatus:
    if isinstance(event, UserRegistered):
        return AccountStatus.ACTIVE
    if isinstance(event, UserDeleted):
        return AccountStatus.DELETED
    return state


ACCOUNT_STATUS = Aggregate(AccountStatus.UNKNOWN, _evolve_account_status)
"""Of a stream `user-<id>`."""


def _evolve_handle_holder(state: int, event: Event) -> int:
    return event.user if isinstance(event, HandleClaimed) else state


HANDLE_HOLDER = Aggregate(0, _evolve_handle_holder)
"""Of a stream `handle-<handle>`: the user who holds it, 0 for nobody."""


class PostStatus(NamedTuple):
    """Who wrote a post (0: it doesn't exist), and whether it was deleted."""

    author: int = 0
    deleted: bool = False


def _evolve_post_status(state: PostStatus, event: Event) -> PostStatus:
    if isinstance(event, PostCreated):
        return PostStatus(event.author)
    if isinstance(event, PostDeleted):
        return PostStatus(state.author, deleted=True)
    return state


POST_STATUS = Aggregate(PostStatus(), _evolve_post_status)
"""Of a stream `post-<id>`."""


class BlockState(NamedTuple):
    """Whether a block holds, and how many there ever were in its stream."""

    active: bool = False
    block_count: int = 0


def _evolve_block(state: BlockState, event: Event) -> BlockState:
    if isinstance(event, UserBlocked):
        return BlockState(True, event.count)
    if isinstance(event, UserUnblocked):
        return BlockState(False, state.block_count)
    return state


BLOCK_STATE = Aggregate(BlockState(), _evolve_block)
"""Of a stream `block-<blocker>-<blocked>`."""


def require_active_actor(asked: CommandContext, look: ReadState) -> None:
    """Refuse an actor without an account, or with one that was deleted."""
    standing = look(streams.user_stream(asked.actor), ACCOUNT_STATUS)
    if standing is AccountStatus.DELETED:
        raise NotAllowed("account-deleted", "this account was deleted; register another one")
    if standing is AccountStatus.UNKNOWN:
        raise NotAllowed(
            "account-unknown", f"there is no account {asked.actor}; register or sign in again"
        )


def require_active_user(user: int, look: ReadState) -> None:
    """Refuse a user who never was or is no more."""
    if look(streams.user_stream(user), ACCOUNT_STATUS) is not AccountStatus.ACTIVE:
        raise _user_not_found(user)


def require_known_user(user: int, look: ReadState) -> None:
    """Refuse a user who never was. Taking something back is fine after the user's end."""
    if look(streams.user_stream(user), ACCOUNT_STATUS) is AccountStatus.UNKNOWN:
        raise _user_not_found(user)


def require_author(post: int, look: ReadState) -> int:
    """Who wrote a post, deleted or not. Refuses one that never was."""
    author = look(streams.post_stream(post), POST_STATUS).author
    if not author:
        raise _post_not_found(post)
    return author


def require_open_post(asked: CommandContext, post: int, look: ReadState) -> int:
    """The author of a post that the actor may like, retweet and answer.

    Refuses a post that isn't there (any more), and one whose author blocks the actor.
    """
    author, deleted = look(streams.post_stream(post), POST_STATUS)
    if not author or deleted:
        raise _post_not_found(post)
    if author != asked.actor:
        if look(streams.user_stream(author), ACCOUNT_STATUS) is not AccountStatus.ACTIVE:
            raise _post_not_found(post)
        if look(streams.block_stream(author, asked.actor), BLOCK_STATE).active:
            raise NotAllowed(
                "blocked", f"the author of post {post} blocked you; leave their posts alone"
            )
    return author


def blocks_between(
    asked: CommandContext, user: int, look: ReadState
) -> tuple[BlockState, BlockState]:
    """The actor's blocks of `user`, and the user's of the actor."""
    mine = look(streams.block_stream(asked.actor, user), BLOCK_STATE)
    return mine, look(streams.block_stream(user, asked.actor), BLOCK_STATE)


def _user_not_found(user: int) -> NotFound:
    return NotFound("user-not-found", f"there is no user {user} (any more); check the id")


def _post_not_found(post: int) -> NotFound:
    return NotFound("post-not-found", f"there is no post {post} (any more); check the id")
