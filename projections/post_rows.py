"""The tables of the projection `posts`, and what readers may have made of their rows."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from projections.invalidation import InvalidationKind
from projections.store import Changes
from projections.tables import CounterTable, Table

BY_AUTHOR: Final = ("author",)
BY_POST: Final = ("post", "id")


class PostRow(NamedTuple):
    """A post or, where `reply_to` names another one, a comment.

    `hashtags`, `mentions` and `media` are JSON arrays of strings; `edited` is the id of the newest
    edit, which says when. A deleted post stays as a tombstone: `deleted` is 1, what it said is
    gone.
    """

    post: int
    author: int
    text: str
    reply_to: int | None
    hashtags: str
    mentions: str
    media: str
    edited: int | None = None
    deleted: int = 0


class CommentRow(NamedTuple):
    """`comment` answers `post` and was not deleted."""

    post: int
    comment: int


class MarkRow(NamedTuple):
    """`user` likes, or retweeted, `post` since the event `id`."""

    user: int
    post: int
    id: int


class PostCounts(NamedTuple):
    """What a post gathered."""

    post: int
    likes: int
    retweets: int
    comments: int


class AuthorPostCount(NamedTuple):
    """How many posts and comments of an author there are."""

    author: int
    posts: int


class DeletedAccountRow(NamedTuple):
    """An account that was deleted: nothing of its may appear any more."""

    user: int


POSTS: Final[Table[PostRow]] = Table("posts", PostRow, key_size=1, indexes=(BY_AUTHOR,))
COMMENTS: Final[Table[CommentRow]] = Table("comments", CommentRow, key_size=2)
LIKES: Final[Table[MarkRow]] = Table("likes", MarkRow, key_size=2, indexes=(BY_POST,))
RETWEETS: Final[Table[MarkRow]] = Table("retweets", MarkRow, key_size=2, indexes=(BY_POST,))
DELETED_ACCOUNTS: Final[Table[DeletedAccountRow]] = Table("gone", DeletedAccountRow, key_size=1)
POST_COUNTS: Final[CounterTable[PostCounts]] = CounterTable("counts", PostCounts, key_size=1)
AUTHOR_POST_COUNTS: Final[CounterTable[AuthorPostCount]] = CounterTable(
    "authored", AuthorPostCount, key_size=1
)


def find_invalidations(changes: Changes) -> Iterator[tuple[int, int]]:
    """What readers must forget after these changes: `InvalidationKind` and id."""
    posts = {post for (post,) in changes.puts.get(POSTS, ())}
    posts.update(post for (post,) in changes.increments.get(POST_COUNTS, ()))
    for post in posts:
        yield InvalidationKind.POST, post
    users: set[int] = set()
    for table in (LIKES, RETWEETS):
        users.update(user for user, _ in changes.puts.get(table, ()))
        users.update(user for user, _ in changes.deletes.get(table, ()))
    for user in users:
        yield InvalidationKind.MARKS, user
    for (author,) in changes.increments.get(AUTHOR_POST_COUNTS, ()):
        yield InvalidationKind.USER_COUNTS, author
