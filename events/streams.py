"""Names of streams, and whose stream it is.

A stream is the smallest thing that is consistent: small, with one writer's worth of rules. Its name
says what it is about. Its *owner* is the user by whom the feed is partitioned: all events with one
owner keep their order.
"""

from events.recorded import Recorded, Stored


def user(user: int) -> str:
    """An account: registration, profile, end."""
    return f"user-{user}"


def handle(handle: str) -> str:
    """Who holds a handle (folded)."""
    return f"handle-{handle}"


def post(post: int) -> str:
    """A post or a comment."""
    return f"post-{post}"


def like(post: int, user: int) -> str:
    """Whether `user` likes `post`."""
    return f"like-{post}-{user}"


def retweet(post: int, user: int) -> str:
    """Whether `user` retweets `post`."""
    return f"retweet-{post}-{user}"


def follow(followee: int, follower: int) -> str:
    """Whether `follower` follows `followee`."""
    return f"follow-{followee}-{follower}"


def block(blocker: int, blocked: int) -> str:
    """Whether `blocker` blocks `blocked`."""
    return f"block-{blocker}-{blocked}"


def mute(muter: int, muted: int) -> str:
    """Whether `muter` mutes `muted`."""
    return f"mute-{muter}-{muted}"


def category(stream: str) -> str:
    """The kind of a stream: what stands before its first dash."""
    return stream.partition("-")[0]


def owner(stored: Stored | Recorded) -> int:
    """The user by whom this event is partitioned.

    It is the actor, except for follows: they belong to the followee, so that an author's posts and
    the changes of their followers keep their order, and a fan-out sees who followed before it.
    """
    if stored.stream.startswith("follow-"):
        return int(stored.stream.split("-", 2)[1])
    return stored.actor
