"""The scopes of apps, and what they allow in both APIs.

`user` allows all that its user may do. Apps ask for `read`, `write`, `follow`, `push`, `profile`,
or for a part such as `read:statuses`. An operation that needs `user` is open to a token whose
scopes cover what it is about; what is not listed here (deleting the account, its sessions and
apps) needs `user` itself. `push` opens webhooks, which read no more than the other scopes allow.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

FOLLOW_SCOPES: Final = frozenset({"follows", "blocks", "mutes"})
"""The parts of `read` and `write` that `follow` covers."""

READ_PARTS: Final = (
    "accounts", "blocks", "bookmarks", "favourites", "filters", "follows", "lists", "mutes",
    "notifications", "search", "statuses",
)  # fmt: skip
WRITE_PARTS: Final = (
    "accounts", "blocks", "bookmarks", "conversations", "favourites", "filters", "follows", "lists",
    "media", "mutes", "notifications", "reports", "statuses",
)  # fmt: skip

APP_SCOPES: Final = (
    "profile", "read", *(f"read:{part}" for part in READ_PARTS),
    "write", *(f"write:{part}" for part in WRITE_PARTS), "follow", "push",
)  # fmt: skip
"""All that apps may ask for."""

NOTIFICATIONS_SCOPE: Final = "read:notifications"
"""What an app needs to hear of notifications on a stream of other things, too."""

_BY_LAST: Final = {
    "like": "favourites", "likes": "favourites", "favourite": "favourites",
    "unfavourite": "favourites", "favourites": "favourites",
    "bookmark": "bookmarks", "unbookmark": "bookmarks", "bookmarks": "bookmarks",
    "follow": "follows", "unfollow": "follows", "relationships": "follows",
    "remove_from_followers": "follows", "familiar_followers": "follows",
    "followers": "accounts", "following": "accounts", "favourited_by": "accounts",
    "reblogged_by": "accounts", "pin": "accounts", "unpin": "accounts",
    "block": "blocks", "unblock": "blocks", "blocks": "blocks",
    "mute": "mutes", "unmute": "mutes", "mutes": "mutes", "followed-hashtags": "follows",
    "note": "accounts", "notes": "accounts",
}  # fmt: skip
"""What an operation is about by the last segment of its address, behind an id or alone."""

_V1: Final = {
    "posts": "statuses", "timelines": "statuses", "hashtags": "statuses", "media": "media",
    "notifications": "notifications", "search": "search", "trends": "statuses",
    "recommendations": "accounts", "stream": "statuses", "clicks": "statuses",
    "filters": "filters",
}  # fmt: skip
"""The same by the first segment, of `/v1`."""
_MASTODON: Final = {
    "accounts": "accounts", "emails": "accounts", "profile": "accounts", "preferences": "accounts",
    "suggestions": "accounts", "endorsements": "accounts", "featured_tags": "accounts",
    "directory": "accounts", "statuses": "statuses", "trends": "statuses",
    "markers": "statuses", "scheduled_statuses": "statuses", "streaming": "statuses",
    "polls": "statuses", "conversations": "statuses", "tags": "follows", "followed_tags": "follows",
    "follow_requests": "follows", "domain_blocks": "blocks", "lists": "lists",
    "filters": "filters", "media": "media", "notifications": "notifications", "search": "search",
    "reports": "reports",
}  # fmt: skip
"""And of the Mastodon API."""
_READS: Final = frozenset({"GET", "HEAD"})
_WEBHOOKS: Final = ["v1", "webhooks"]
_OWN_PROFILE: Final = ("/api/v1/accounts/verify_credentials", "/oauth/userinfo")
_FIRST_UNIT: Final = 2
"""Segments of an address with an id in it, such as `posts/1`."""


def covers_scope(granted: AbstractSet[str], wanted: str) -> bool:
    """Whether scopes allow what one scope does."""
    verb, _, part = wanted.partition(":")
    return (
        wanted in granted
        or verb in granted
        or (part in FOLLOW_SCOPES and "follow" in granted)
        or (wanted == "profile" and not granted.isdisjoint(("read", "read:accounts")))
    )


def known_scopes(scopes: Iterable[str]) -> bool:
    """Whether all of some scopes are ones that apps may ask for."""
    return set(scopes) <= set(APP_SCOPES)


def covers_user_scope(scopes: AbstractSet[str], method: str, path: str) -> bool:
    """Whether scopes of an app allow an operation that needs the scope `user`."""
    wanted = wanted_scope(method, path)
    return wanted is not None and covers_scope(scopes, wanted)


def wanted_scope(method: str, path: str) -> str | None:
    """The scope that an operation asks of an app; None where no scope of apps opens it."""
    if path in _OWN_PROFILE:
        return "profile"
    segments = path.strip("/").split("/")
    if segments[:2] == _WEBHOOKS:
        return "push"
    if segments[0] == "api":
        about = _mastodon_part(segments[2:])
    else:
        about = _v1_part(method, segments[1:])
    if about is None:
        return None
    # One's own uploads are looked at by what writes them.
    verb = "read" if method in _READS and about != "media" else "write"
    return f"{verb}:{about}"


def _v1_part(method: str, segments: list[str]) -> str | None:
    if not segments:
        return None
    first, last = segments[0], segments[-1]
    if first == "users":
        if len(segments) == _FIRST_UNIT:
            return "accounts" if method in _READS or method == "PATCH" else None
        if len(segments) > _FIRST_UNIT + 1:
            return "follows" if segments[_FIRST_UNIT] == "followers" else None
        return _BY_LAST.get(last, "statuses" if last in ("posts", "pins") else None)
    if len(segments) > _FIRST_UNIT and last in _BY_LAST:
        return _BY_LAST[last]
    return _V1.get(first)


def _mastodon_part(segments: list[str]) -> str | None:
    if not segments:
        return None
    first, last = segments[0], segments[-1]
    if first == "streaming" and last == "notification":
        return "notifications"
    if first == "timelines":
        return "lists" if "list" in segments else "statuses"
    if len(segments) != _FIRST_UNIT and last in _BY_LAST:
        return _BY_LAST[last]
    if first == "accounts" and last in ("relationships", "familiar_followers"):
        return "follows"
    if first == "accounts" and len(segments) > _FIRST_UNIT and last in ("statuses", "lists"):
        return last
    return _MASTODON.get(first)
