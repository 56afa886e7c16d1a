"""Posts and users in passing as bytes of JSON, in the pieces that `api.views.posts` joins.

A post is cut where other things' renderings go in: the author (whose name can change without the
post's doing), and at the end the reader's own marks.
"""

from typing import Final, NamedTuple

import msgspec

from api.views.ids_and_times import rfc3339
from events.ids.snowflake import time_ms
from events.schema import PostCreated
from projections.posts import PostWithCounts

_encode_json = msgspec.json.Encoder().encode


class PostPieces(NamedTuple):
    """A rendered post: what stands before the author, the author's id, what stands behind."""

    head: bytes
    author: int
    tail: bytes


PLAIN_ENDING: Final = b"}"
"""The end of a post for a stranger."""

MARK_ENDINGS: Final = {
    (liked, retweeted): b',"liked":%s,"retweeted":%s}'
    % (_encode_json(liked), _encode_json(retweeted))
    for liked in (False, True)
    for retweeted in (False, True)
}
"""The end of a post for a reader who did or did not like and retweet it."""


def user_ref_json(user: int, handle: str, name: str) -> bytes:
    """A user in passing."""
    return b'{"id":"%d","handle":%s,"name":%s}' % (user, _encode_json(handle), _encode_json(name))


def pieces_from_row(post: PostWithCounts) -> PostPieces:
    """A post of the view `posts`, with its counts."""
    counts = f',"likes":{post.likes},"retweets":{post.retweets},"comments":{post.comments}'
    lists = f',"hashtags":{post.hashtags},"mentions":{post.mentions},"media":{post.media}'
    edited = f',"edited_at":"{rfc3339(time_ms(post.edited))}"' if post.edited is not None else ""
    return PostPieces(
        _head(post.post, post.text),
        post.author,
        f"{counts}{lists}{_reply_to(post.reply_to)}{edited}".encode(),
    )


def pieces_from_event(created: PostCreated) -> PostPieces:
    """A post that was made just now: nobody liked it yet."""
    tail = b',"likes":0,"retweets":0,"comments":0,"hashtags":%s,"mentions":%s,"media":%s%s' % (
        _encode_json(created.hashtags),
        _encode_json(created.mentions),
        _encode_json(created.media),
        _reply_to(created.reply_to).encode(),
    )
    return PostPieces(_head(created.post, created.text), created.author, tail)


def _head(post: int, text: str) -> bytes:
    posted = rfc3339(time_ms(post)).encode()
    return b'{"id":"%d","text":%s,"date_posted":"%s","posted_by":' % (
        post,
        _encode_json(text),
        posted,
    )


def _reply_to(post: int | None) -> str:
    return f',"reply_to":"{post}"' if post is not None else ""
