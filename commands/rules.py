"""Rules that several deciders share, on users, posts and blocks.

Deciders don't know one another, so a state that more than one of them reads is defined here. A
`require_...` function reads the streams that it needs, and raises `NotFound` or `NotAllowed` where
a requirement is not met.
"""

from enum import Enum
from typing import NamedTuple

from commands.decider import Aggregate, CommandContext, ReadState
from commands.errors import InvalidInput, NotAllowed, NotFound
from events import streams
from events.schema import (
    AccountSuspended,
    AccountUnsuspended,
    Event,
    HandleClaimed,
    Medium,
    PostCreated,
    PostDeleted,
    UserBlocked,
    UserDeleted,
    UserRegistered,
    UserUnblocked,
)


class AccountStatus(Enum):
    """`UNKNOWN` is an account that was never registered, even where its handle was claimed."""

    UNKNOWN = 0
    ACTIVE = 1
    DELETED = 2
    SUSPENDED = 3


def _evolve_account_status(state: AccountStatus, event: Event) -> AccountStatus:
    if isinstance(event, UserRegistered | AccountUnsuspended):
        return AccountStatus.ACTIVE
    if isinstance(event, AccountSuspended):
        return AccountStatus.SUSPENDED
    if isinstance(event, UserDeleted):
        return AccountStatus.DELETED
    return state


ACCOUNT_STATUS = Aggregate(AccountStatus.UNKNOWN, _evolve_account_status)
"""Of a stream `user-<id>`."""


SUSPENSION_REASON = Aggregate(
    "", lambda reason, event: event.reason if isinstance(event, AccountSuspended) else reason
)
"""Of a stream `user-<id>`: why the account was suspended last."""


HANDLE_HOLDER = Aggregate(
    0, lambda user, event: event.user if isinstance(event, HandleClaimed) else user
)
"""Of a stream `handle-<handle>`: the user who holds it, or 0."""


class PostStatus(NamedTuple):
    """Who wrote a post (0: it doesn't exist), whether it was deleted, and what it answers."""

    author: int = 0
    deleted: bool = False
    reply_to: int | None = None


def _evolve_post_status(state: PostStatus, event: Event) -> PostStatus:
    if isinstance(event, PostCreated):
        return PostStatus(event.author, reply_to=event.reply_to)
    if isinstance(event, PostDeleted):
        return state._replace(deleted=True)
    return state


POST_STATUS = Aggregate(PostStatus(), _evolve_post_status)
"""Of a stream `post-<id>`."""


class BlockState(NamedTuple):
    """Whether there is a block now, and how many blocks its stream has had."""

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


def require_active_actor(context: CommandContext, read_state: ReadState) -> None:
    """The actor has an account, not a deleted one."""
    status = read_state(streams.user_stream(context.actor), ACCOUNT_STATUS)
    if status is AccountStatus.DELETED:
        raise NotAllowed("account-deleted", "this account was deleted; register another one")
    if status is AccountStatus.SUSPENDED:
        reason = read_state(streams.user_stream(context.actor), SUSPENSION_REASON)
        raise account_suspended(reason)
    if status is AccountStatus.UNKNOWN:
        raise NotAllowed(
            "account-unknown", f"there is no account {context.actor}; register or sign in again"
        )


def require_active_user(user: int, read_state: ReadState) -> None:
    """The user exists and is not deleted."""
    if read_state(streams.user_stream(user), ACCOUNT_STATUS) is not AccountStatus.ACTIVE:
        raise user_not_found(user)


def require_known_user(user: int, read_state: ReadState) -> None:
    """The user exists, perhaps deleted: taking something back is allowed after that."""
    if read_state(streams.user_stream(user), ACCOUNT_STATUS) is AccountStatus.UNKNOWN:
        raise user_not_found(user)


def require_author(post: int, read_state: ReadState) -> int:
    """The post exists, perhaps deleted. Gives its author."""
    author = read_state(streams.post_stream(post), POST_STATUS).author
    if not author:
        raise post_not_found(post)
    return author


def require_open_post(context: CommandContext, post: int, read_state: ReadState) -> int:
    """The actor may like, retweet and answer the post. Gives its author.

    The post and its author exist, and neither of author and actor blocks the other.
    """
    author, deleted, _ = read_state(streams.post_stream(post), POST_STATUS)
    if not author or deleted:
        raise post_not_found(post)
    if author != context.actor:
        if read_state(streams.user_stream(author), ACCOUNT_STATUS) is not AccountStatus.ACTIVE:
            raise post_not_found(post)
        require_no_block(context, author, read_state)
    return author


def require_no_block(
    context: CommandContext, user: int, read_state: ReadState
) -> tuple[BlockState, BlockState]:
    """Neither the actor blocks `user` nor `user` the actor. Gives what `blocks_between` gives."""
    own_block, their_block = blocks = blocks_between(context, user, read_state)
    if their_block.active:
        raise NotAllowed("blocked", f"user {user} blocked you; leave them and their posts alone")
    if own_block.active:
        raise NotAllowed("blocking", f"you block user {user}; unblock them first")
    return blocks


def blocks_between(
    context: CommandContext, user: int, read_state: ReadState
) -> tuple[BlockState, BlockState]:
    """The actor's blocks of `user`, and the user's of the actor."""
    return (
        read_state(streams.block_stream(context.actor, user), BLOCK_STATE),
        read_state(streams.block_stream(user, context.actor), BLOCK_STATE),
    )


def require_upload(id: str, context: CommandContext) -> Medium:
    """The actor uploaded this image, and nothing shows it yet."""
    upload = context.uploads.get(id)
    if upload is None:
        raise InvalidInput(
            "media-unknown",
            f"{id[:64]!r} is no image that you uploaded and have not shown yet: upload it (again) "
            "with POST /v1/media, and name the id that it answers",
        )
    return upload


def user_not_found(user: int) -> NotFound:
    """The refusal of a user without an account (any more)."""
    return NotFound("user-not-found", f"there is no user {user} (any more); check the id")


def account_suspended(reason: str) -> NotAllowed:
    """The refusal of what a suspended account asks for."""
    return NotAllowed("account-suspended", f"this account is suspended: {reason}")


def post_not_found(post: int | str) -> NotFound:
    """The refusal of a post that doesn't exist, was deleted, or is hidden from its reader."""
    return NotFound("post-not-found", f"there is no post {post} (any more); check the id")
