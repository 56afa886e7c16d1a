"""What the scopes of apps allow in `/v1`.

`user` allows all that its user may do. Apps of the Mastodon world ask for `read`, `write`, `follow`
and `push`, or for a part of them such as `read:statuses`. An operation of `/v1` that needs `user`
is open to a token whose scopes cover what it is about; what is not listed here (deleting the
account, its sessions) needs `user` itself.
"""

from collections.abc import Set as AbstractSet
from typing import Final

FOLLOW_SCOPES: Final = frozenset({"follows", "blocks", "mutes"})
"""The parts of `read` and `write` that `follow` covers."""

_BY_LAST: Final = {
    "like": "favourites",
    "likes": "favourites",
    "bookmark": "bookmarks",
    "bookmarks": "bookmarks",
    "follow": "follows",
    "followers": "accounts",
    "following": "accounts",
    "block": "blocks",
    "blocks": "blocks",
    "mute": "mutes",
    "mutes": "mutes",
    "pin": "accounts",
}
_BY_FIRST: Final = {
    "posts": "statuses",
    "timelines": "statuses",
    "hashtags": "statuses",
    "media": "media",
    "notifications": "notifications",
    "search": "search",
    "trends": "statuses",
    "recommendations": "accounts",
    "stream": "statuses",
}
_READS: Final = frozenset({"GET", "HEAD"})


def covers_user_scope(scopes: AbstractSet[str], method: str, path: str) -> bool:
    """Whether scopes of an app allow an operation of `/v1` that needs the scope `user`."""
    about = _part(method, path)
    if about is None:
        return False
    verb = "read" if method in _READS else "write"
    return (
        verb in scopes
        or f"{verb}:{about}" in scopes
        or (about in FOLLOW_SCOPES and "follow" in scopes)
    )


def _part(method: str, path: str) -> str | None:
    """What an operation is about, as scopes name it; None where no scope of apps opens it."""
    segments = path.strip("/").split("/")[1:]
    if not segments:
        return None
    last = segments[-1]
    if segments[0] == "users":
        if len(segments) == 2:
            return "accounts" if method in _READS or method == "PATCH" else None
        return _BY_LAST.get(last, "statuses" if last == "posts" else None)
    if len(segments) > 2 and last in _BY_LAST:
        return _BY_LAST[last]
    return _BY_FIRST.get(segments[0])
