"""The tables of the projection `posts`, and what readers may have made of their rows."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from projections.store import Changes
from projections.tables import Table, Tally
from projections.touched import Kind

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


class Mark(NamedTuple):
    """`user` likes, or retweeted, `post` since the event `id`."""

    user: int
    post: int
    id: int


class Counts(NamedTuple):
    """What a post gathered."""

    post: int
    likes: int
    retweets: int
    comments: int


class Authored(NamedTuple):
    """How many posts and comments of an author there are."""

    author: int
    posts: int


class Gone(NamedTuple):
    """An account that was deleted: nothing of its may appear any more."""

    user: int


POSTS: Final[Table[PostRow]] = Table("posts", PostRow, key=1, indexes=(BY_AUTHOR,))
COMMENTS: Final[Table[CommentRow]] = Table("comments", CommentRow, key=2)
LIKES: Final[Table[Mark]] = Table("likes", Mark, key=2, indexes=(BY_POST,))
RETWEETS: Final[Table[Mark]] = Table("retweets", Mark, key=2, indexes=(BY_POST,))
GONE: Final[Table[Gone]] = Table("gone", Gone, key=1)
COUNTS: Final[Tally[Counts]] = Tally("counts", Counts, key=1)
AUTHORED: Final[Tally[Authored]] = Tally("authored", Authored, key=1)


def touches(changes: Changes) -> Iterator[tuple[int, int]]:
    """What readers must forget after these changes: `Kind` and id."""
    posts = {post for (post,) in changes.puts.get(POSTS, ())}
    posts.update(post for (post,) in changes.adds.get(COUNTS, ()))
    for post in posts:
        yield Kind.POST, post
    users: set[int] = set()
    for table in (LIKES, RETWEETS):
        users.update(user for user, _ in changes.puts.get(table, ()))
        users.update(user for user, _ in changes.deletes.get(table, ()))
    for user in users:
        yield Kind.MARKS, user
    for (author,) in changes.adds.get(AUTHORED, ()):
        yield Kind.GRAPH, author
