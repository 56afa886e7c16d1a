"""What goes in and out as JSON: request bodies are decoded into these, responses fit them.

Ids are decimal strings, times RFC 3339 in UTC with milliseconds. Posts are rendered by
`api.views.posts` without making these objects; a test decodes its bytes into them.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

encode_json = msgspec.json.Encoder().encode  # one encoder: making one costs more than most bodies

Id = Annotated[str, Meta(pattern="^[0-9]{1,19}$", examples=["1790012345678901248"])]
Time = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        examples=["2026-02-03T04:05:06.789Z"],
    ),
]
Count = Annotated[int, Meta(ge=0)]
Password = Annotated[str, Meta(min_length=8, max_length=200)]
Email = Annotated[
    str, Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$", examples=["a@example.org"])
]
Handle = Annotated[
    str,
    Meta(description="`[a-z0-9_]{2,30}`; upper case is folded", examples=["ada"]),
]
Text = Annotated[str, Meta(description="1-280 characters after NFC", examples=["Hello #world"])]


class RequestBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends. A field that isn't named here is refused."""


class NewUser(RequestBody):
    """A new account."""

    handle: Handle
    name: str
    email: Email
    password: Password
    bio: str = ""


class SignIn(RequestBody):
    """A handle, with or without its @, and the password."""

    handle: str
    password: Annotated[str, Meta(max_length=200)]


class ProfilePatch(RequestBody):
    """What to change of oneself; what is left out stays as it is.

    A new email address or password needs `current_password`, once the account has a password.
    """

    name: str | UnsetType = UNSET
    bio: str | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    current_password: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET


class NewPost(RequestBody):
    """A new post, or a comment on the post `reply_to`."""

    text: Text
    reply_to: Id | None = None
    media: list[str] = []


class NewComment(RequestBody):
    """A comment on the post in the address."""

    text: Text
    media: list[str] = []


class EditedPost(RequestBody):
    """The post's text from now on."""

    text: Text


class UserRef(msgspec.Struct, forbid_unknown_fields=True):
    """A user, as posts name them."""

    id: Id
    handle: str
    name: str


class Post(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A post. `retweeted_by` is the user whose retweet put it into a home timeline.

    `liked` and `retweeted` say what the signed-in reader did; they are absent for others.
    """

    id: Id
    text: str
    date_posted: Time
    posted_by: UserRef
    likes: Count
    retweets: Count
    comments: Count
    hashtags: list[str]
    mentions: list[str]
    media: list[str]
    reply_to: Id | UnsetType = UNSET
    edited_at: Time | UnsetType = UNSET
    retweeted_by: UserRef | UnsetType = UNSET
    liked: bool | UnsetType = UNSET
    retweeted: bool | UnsetType = UNSET


class User(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A user. `followed`: by the signed-in reader. `email`: shown to oneself alone."""

    id: Id
    handle: str
    name: str
    bio: str
    followers: Count
    following: Count
    posts: Count
    created_at: Time
    followed: bool | UnsetType = UNSET
    email: str | UnsetType | None = UNSET


class Registered(User, forbid_unknown_fields=True):
    """A new user, signed in at once."""

    token: str | UnsetType = UNSET


class Token(msgspec.Struct, forbid_unknown_fields=True):
    """Send it as `Authorization: Bearer TOKEN`."""

    token: str
    id: Id


class Done(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """The id of the command's subject, and what holds now."""

    id: Id
    liked: bool | UnsetType = UNSET
    retweeted: bool | UnsetType = UNSET
    followed: bool | UnsetType = UNSET
    blocked: bool | UnsetType = UNSET
    muted: bool | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET


class Use(msgspec.Struct, forbid_unknown_fields=True):
    """How much a hashtag was used in the quarter of an hour from `since` on."""

    since: Time
    uses: Count
    accounts: Count


class Trend(msgspec.Struct, forbid_unknown_fields=True):
    """A hashtag (folded) that is used more than usual.

    `uses` counts posts and `accounts` different users of the last two hours, `history` has their
    quarters, the oldest first.
    """

    tag: str
    score: float
    uses: Count
    accounts: Count
    history: list[Use]


class Health(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Whether the server can do its work, and how far each projection is behind the log."""

    status: str
    projections: dict[str, "Behind"] = {}
    dead_letters: dict[str, Count] = {}
    """Events that projections could not apply; their views lack these alone, so it is a warning."""
    detail: str | UnsetType = UNSET


class Behind(msgspec.Struct, forbid_unknown_fields=True):
    """How many positions of the log a projection has not applied yet."""

    lag: Count
    ready: bool


class Projected(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """The state of a projection: `lag` positions of the log are not in its view yet."""

    name: str
    version: Count
    position: str
    lag: Count
    state: Literal["current", "behind", "paused", "outdated", "absent"]
    dead_letters: Count
    rebuild: "Rebuild | UnsetType" = UNSET


class Rebuild(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """How far a rebuild is. `view` names the new view, `per_second` counts positions."""

    state: Literal["loading", "comparing", "ready", "failed", "done", "cancelled"]
    view: str
    position: str
    head: str
    per_second: Count
    seconds_left: float | UnsetType = UNSET
    problem: str | UnsetType = UNSET
    differences: list[str] = []
