"""Posts and users in passing as bytes of JSON, in the pieces that `api.present` joins.

A post is cut where other things' renderings go in: the author (whose name can change without the
post's doing), and at the end the reader's own marks.
"""

from typing import Final, NamedTuple

import msgspec

from api.times import rfc3339
from events.schema import PostCreated
from events.snowflake import time_ms
from projections.posts import Post

_json = msgspec.json.Encoder().encode


class Pieces(NamedTuple):
    """A rendered post: what stands before the author, the author's id, what stands behind."""

    head: bytes
    author: int
    tail: bytes


UNMARKED: Final = b"}"
"""The end of a post for a stranger."""

MARKS: Final = {
    (liked, retweeted): b',"liked":%s,"retweeted":%s}' % (_json(liked), _json(retweeted))
    for liked in (False, True)
    for retweeted in (False, True)
}
"""The end of a post for a reader who did or did not like and retweet it."""


def user_ref(user: int, handle: str, name: str) -> bytes:
    """A user in passing."""
    return b'{"id":"%d","handle":%s,"name":%s}' % (user, _json(handle), _json(name))


def pieces_of(post: Post) -> Pieces:
    """A post of the view `posts`, with its counts."""
    counts = f',"likes":{post.likes},"retweets":{post.retweets},"comments":{post.comments}'
    lists = f',"hashtags":{post.hashtags},"mentions":{post.mentions},"media":{post.media}'
    edited = f',"edited_at":"{rfc3339(time_ms(post.edited))}"' if post.edited is not None else ""
    return Pieces(
        _head(post.post, post.text),
        post.author,
        f"{counts}{lists}{_reply_to(post.reply_to)}{edited}".encode(),
    )


def pieces_of_new(created: PostCreated) -> Pieces:
    """A post that was made just now: nobody liked it yet."""
    tail = b',"likes":0,"retweets":0,"comments":0,"hashtags":%s,"mentions":%s,"media":%s%s' % (
        _json(created.hashtags),
        _json(created.mentions),
        _json(created.media),
        _reply_to(created.reply_to).encode(),
    )
    return Pieces(_head(created.post, created.text), created.author, tail)


def _head(post: int, text: str) -> bytes:
    posted = rfc3339(time_ms(post)).encode()
    return b'{"id":"%d","text":%s,"date_posted":"%s","posted_by":' % (post, _json(text), posted)


def _reply_to(post: int | None) -> str:
    return f',"reply_to":"{post}"' if post is not None else ""
