"""The port to the index of words: which posts, people and hashtags a search finds.

It is made from the log alone and can be thrown away. It holds for each post and account a set of
words without their order, in plain, since a sealed text can't be searched: so what is deleted or
reworded must leave it at once. The same changes give the same answers in every adapter.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from projections.pages import PageRequest
from projections.store import StoreUnavailable


class SearchUnavailable(StoreUnavailable):
    """The index can't be read or written now; try again later."""


class PostFindable(NamedTuple):
    """A post is found under these words; its hashtags are folded."""

    post: int
    author: int
    words: frozenset[str]
    tags: frozenset[str]


class PostReworded(NamedTuple):
    """A post is found under other words from now on."""

    post: int
    words: frozenset[str]
    tags: frozenset[str]


class PostGone(NamedTuple):
    """A post was deleted."""

    post: int


class UserFindable(NamedTuple):
    """A new account is found by its handle (folded) and under the words of its name."""

    user: int
    handle: str
    words: frozenset[str]


class UserRenamed(NamedTuple):
    """An account has another name."""

    user: int
    words: frozenset[str]


class UserGone(NamedTuple):
    """An account was deleted, and all that it posted."""

    user: int


SearchChange = PostFindable | PostReworded | PostGone | UserFindable | UserRenamed | UserGone


class FollowedLog(NamedTuple):
    """Which log the index follows, by which tokenizer, and up to which position."""

    log: str
    """The log's identity; empty for an index that follows none yet."""
    tokenizer: int
    position: int


class FoundPost(NamedTuple):
    """A post that a search found."""

    post: int
    author: int


class TagUses(NamedTuple):
    """A hashtag (folded), and how many posts have it."""

    tag: str
    posts: int


class SearchIndex(Protocol):
    """The words of posts and accounts. Every method may raise `SearchUnavailable`."""

    async def read_followed(self) -> FollowedLog:
        """What the index follows."""
        ...

    async def restart(self, log: str, tokenizer: int) -> None:
        """Forget everything, and follow a log from its start, unless that was just done."""
        ...

    async def follow(self, changes: Sequence[SearchChange], after: int, through: int) -> bool:
        """Apply what the log's events behind `after` and up to `through` change, in order.

        False, and nothing is changed, unless the index follows the log up to exactly `after`. A
        post of an author without an account is left out, and a change of what isn't there.
        """
        ...

    async def find_posts(self, words: Sequence[str], request: PageRequest) -> Sequence[FoundPost]:
        """The posts that have all the words (at least one), newest first."""
        ...

    async def find_users(self, words: Sequence[str], request: PageRequest) -> Sequence[int]:
        """The accounts whose handle or name has, for each of the words, one that begins with it,
        newest first. A word of one character must be there itself."""
        ...

    async def complete_handle(self, prefix: str, limit: int) -> Sequence[int]:
        """The accounts whose handles begin with a (folded) prefix, in the order of the handles."""
        ...

    async def find_hashtags(self, prefix: str, limit: int) -> Sequence[TagUses]:
        """The hashtags that begin with a (folded) prefix, the most used first, then by code
        point."""
        ...

    async def scrub(self) -> None:
        """Remove from the disk what words of deleted texts the database may have kept there."""
        ...

    def close(self) -> None:
        """Close the files or connections."""
        ...
