"""What goes in and out as JSON, each shape once: the models that several resources share. Those of
one resource stand beside its routes.

Ids are decimal strings, times RFC 3339 in UTC with milliseconds. Posts are rendered by
`api.views.posts` without making these objects, which would cost more than everything else about a
page; a test reads its bytes into `Post`.
"""

from typing import Annotated, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field

encode_json = msgspec.json.Encoder().encode  # one encoder: making one costs more than most texts

Id = Annotated[str, Field(pattern="^[0-9]{1,19}$", examples=["1790012345678901248"])]
Time = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        examples=["2026-02-03T04:05:06.789Z"],
    ),
]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$", examples=["2026-02-03"])]
Count = Annotated[int, Field(ge=0)]
SHORTEST_PASSWORD: Final = 8
LONGEST_PASSWORD: Final = 200
Password = Annotated[
    str,
    Field(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD, examples=["correct horse"]),
]
GivenPassword = Annotated[str, Field(max_length=LONGEST_PASSWORD, examples=["correct horse"])]
"""One to compare with; whether it could be set plays no part."""
Email = Annotated[
    str,
    # \s of a regular expression lacks the control characters.
    Field(
        max_length=254,
        pattern=r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$",
        examples=["a@example.org"],
    ),
]
Handle = Annotated[
    str, Field(description="`[a-z0-9_]{2,30}`; upper case is folded", examples=["ada"])
]
Name = Annotated[str, Field(examples=["Ada"])]
Bio = Annotated[str, Field(examples=["Writes programs for engines."])]
Text = Annotated[
    str,
    Field(
        description="1-280 grapheme clusters after NFC, a link counts 23; at most 8 KiB of UTF-8",
        examples=["Hello #world"],
    ),
]


Picture = Annotated[
    str,
    Field(
        pattern="^[A-Za-z0-9_-]{1,64}$",
        examples=["5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"],
    ),
]
"""The id of an upload."""


Sensitive = Annotated[
    bool, Field(description="whether programs should cover text and images", examples=[True])
]
SpoilerText = Annotated[
    str, Field(description="stands above what is covered", examples=["The end of the film"])
]
Language = Annotated[str, Field(description="a tag of BCP 47", examples=["en"])]


class ApiModel(BaseModel):
    """A JSON object of the API. A field that isn't named is refused in requests, and never sent.

    In responses, fields that are None are left out.
    """

    model_config = ConfigDict(extra="forbid")


class NewUser(ApiModel):
    """A new account."""

    handle: Handle
    name: Name
    email: Email
    password: Password
    bio: Bio = ""


class SignIn(ApiModel):
    """A handle, with or without its @, and the password."""

    handle: Annotated[str, Field(max_length=64, examples=["ada"])]
    password: GivenPassword


class ProfileField(ApiModel):
    """A line of a profile's own choice."""

    name: Annotated[str, Field(examples=["Pronouns"])]
    value: Annotated[str, Field(examples=["she/her"])]


class ProfilePatch(ApiModel):
    """What to change of oneself; what is left out (or null) stays as it is.

    `avatar` and `header` are ids of images of one's own (`POST /v1/media`); null takes one away.
    A profile has at most four `fields`; `bot` says that a program writes here.
    A new email address or password needs `current_password`, once the account has a password.
    """

    name: Name | None = None
    bio: Bio | None = None
    avatar: Picture | None = None
    header: Picture | None = None
    fields: Annotated[
        list[ProfileField] | None, Field(examples=[[{"name": "Pronouns", "value": "she/her"}]])
    ] = None
    bot: Annotated[bool | None, Field(examples=[True])] = None
    email: Email | None = None
    password: Password | None = None
    current_password: GivenPassword | None = None


class NewComment(ApiModel):
    """A comment on the post in the address."""

    text: Text
    media: Annotated[
        list[str],
        Field(
            description="ids of up to four images of one's own, from `POST /v1/media`",
            examples=[["5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"]],
        ),
    ] = []
    sensitive: Sensitive | None = None
    spoiler_text: SpoilerText | None = None
    language: Language | None = None


class NewPost(NewComment):
    """A new post, or a comment on the post `reply_to`."""

    reply_to: Id | None = None


class EditedPost(ApiModel):
    """What to change of a post; what is left out (or null) stays as it is. An empty `spoiler_text`
    or `language` takes it away.
    """

    text: Text | None = None
    sensitive: Sensitive | None = None
    spoiler_text: SpoilerText | None = None
    language: Language | None = None


class UserRef(ApiModel):
    """A user, as posts name them."""

    id: Id
    handle: str
    name: str


class Image(ApiModel):
    """An image. `blurhash` (https://blurha.sh) is what to show while it loads, `alt` what it shows,
    in words.
    """

    id: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    url: str
    thumbnail_url: str
    type: Annotated[str, Field(examples=["image/jpeg"])]
    width: Count
    height: Count
    blurhash: Annotated[str, Field(examples=["L7E{hE~nN5%g?a#;tKOTVub{S^jL"])]
    alt: str


class AltText(ApiModel):
    """The alternative text of an image from now on."""

    alt: Annotated[str, Field(examples=["An owl on a branch, at night"])]


class Post(ApiModel):
    """A post. `retweeted_by` is the user whose retweet put it into a timeline.

    `sensitive`, `spoiler_text` and `language` are absent where the author set none.
    `liked`, `retweeted` and `bookmarked` say what the signed-in reader did; they are absent for
    others. `pinned` is there on pinned posts of one's own.
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
    media: list[Image]
    reply_to: Id | None = None
    edited_at: Time | None = None
    sensitive: Sensitive | None = None
    spoiler_text: SpoilerText | None = None
    language: Language | None = None
    retweeted_by: UserRef | None = None
    liked: bool | None = None
    retweeted: bool | None = None
    bookmarked: bool | None = None
    pinned: bool | None = None


class User(ApiModel):
    """A user. `avatar` and `header` are URLs of images, absent where there are none, as `fields`
    are; `bot` is there, and true, on accounts of programs. `followed`,
    `blocking`, `blocked_by` and `muting` tell the signed-in reader what holds between the two,
    `muted_until` when the mute ends, if it does. `note` is what the reader notes about
    the user, shown where one user is asked for.
    `email` and whether it is verified: shown to oneself alone.
    """

    id: Id
    handle: str
    name: str
    bio: str
    followers: Count
    following: Count
    posts: Count
    created_at: Time
    avatar: str | None = None
    header: str | None = None
    fields: list[ProfileField] | None = None
    bot: bool | None = None
    followed: bool | None = None
    blocking: bool | None = None
    blocked_by: bool | None = None
    muting: bool | None = None
    muted_until: Time | None = None
    note: str | None = None
    email: str | None = None
    email_verified: bool | None = None


class Registered(User):
    """A new user, signed in at once."""

    token: str


class Token(ApiModel):
    """Send it as `Authorization: Bearer TOKEN`."""

    token: str
    id: Id


class Done(ApiModel):
    """The id of the command's subject, and what holds now."""

    id: Id
    liked: bool | None = None
    retweeted: bool | None = None
    bookmarked: bool | None = None
    pinned: bool | None = None
    followed: bool | None = None
    followed_by: bool | None = None
    blocked: bool | None = None
    muted: bool | None = None
    dismissed: bool | None = None
    noted: bool | None = None
    deleted: bool | None = None
    suspended: bool | None = None


class Problem(ApiModel):
    """The body of every response that refuses (RFC 9457)."""

    type: Annotated[str, Field(examples=["/problems/post-not-found"])]
    title: str
    status: int
    detail: str


class ProblemMeaning(ApiModel):
    """A kind of problem, explained."""

    type: str
    title: str
    meaning: str


class LineProblem(Problem):
    """Why a line was refused; `line` is its number in the body or file, from 1."""

    line: int


class LineResponse(ApiModel):
    """What came of one line of a batch; `status` as in HTTP, ids and positions as text."""

    key: str | None
    status: int
    id: str | None = None
    position: str | None = None
    problem: LineProblem | None = None
