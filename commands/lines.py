"""Lines of NDJSON, as imports send them: `{"command", "as", "key", "at", "data"}`.

`as`, and the ids in `data`, are references (`commands.references`). A `register` line needs no
`as`; its email and password never become part of a command, and no error message holds a value.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from commands import keys
from commands.block import Block, Mute, Unblock, Unmute
from commands.catalog import CATALOG
from commands.decider import Command
from commands.errors import Invalid
from commands.follow import Follow, Unfollow
from commands.like import Like, Unlike
from commands.post import Comment, CreatePost, DeletePost, EditPost
from commands.references import References
from commands.request import Request
from commands.retweet import Retweet, Unretweet
from commands.times import parse_time
from commands.user import ChangeProfile, DeleteAccount, Register
from events.snowflake import EPOCH_MS, LAST_MS

Reference = str | int
"""An id may come as a number too."""


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Line(_Strict):
    """One line; `data` is still JSON, to be read once the command is known."""

    command: str
    as_: str | None = msgspec.field(default=None, name="as")
    key: str | None = None
    at: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"{}")


class Credentials(msgspec.Struct, frozen=True):
    """What a new account signs in with. Never shown, not even in a traceback."""

    email: str | None
    password: str | None

    def __repr__(self) -> str:
        return "Credentials(...)"


class _Registration(_Strict):
    handle: str
    name: str
    bio: str = ""
    email: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return "_Registration(...)"


class _NewPost(_Strict):
    text: str
    reply_to: Reference | None = None
    media: tuple[str, ...] = ()


class _NewComment(_Strict):
    post: Reference
    text: str
    media: tuple[str, ...] = ()


class _Edit(_Strict):
    post: Reference
    text: str


class _OfPost(_Strict):
    post: Reference


class _OfUser(_Strict):
    user: Reference


def _register(data: _Registration, references: References) -> Command:
    return Register(data.handle, data.name, data.bio)


def _as_it_stands(data: Command, references: References) -> Command:
    return data


def _new_post(data: _NewPost, references: References) -> Command:
    reply_to = None if data.reply_to is None else references.post(str(data.reply_to))
    return CreatePost(data.text, reply_to, data.media)


def _new_comment(data: _NewComment, references: References) -> Command:
    return Comment(references.post(str(data.post)), data.text, data.media)


def _edit(data: _Edit, references: References) -> Command:
    return EditPost(references.post(str(data.post)), data.text)


def _of_post(command: Callable[[int], Command], data: _OfPost, references: References) -> Command:
    return command(references.post(str(data.post)))


def _of_user(command: Callable[[int], Command], data: _OfUser, references: References) -> Command:
    return command(references.user(str(data.user)))


_SHAPES: Final[dict[str, tuple[type[Any], Callable[[Any, References], Command]]]] = {
    "register": (_Registration, _register),
    "change_profile": (ChangeProfile, _as_it_stands),
    "delete_account": (DeleteAccount, _as_it_stands),
    "post": (_NewPost, _new_post),
    "edit_post": (_Edit, _edit),
    "delete_post": (_OfPost, partial(_of_post, DeletePost)),
    "comment": (_NewComment, _new_comment),
    "like": (_OfPost, partial(_of_post, Like)),
    "unlike": (_OfPost, partial(_of_post, Unlike)),
    "retweet": (_OfPost, partial(_of_post, Retweet)),
    "unretweet": (_OfPost, partial(_of_post, Unretweet)),
    "follow": (_OfUser, partial(_of_user, Follow)),
    "unfollow": (_OfUser, partial(_of_user, Unfollow)),
    "block": (_OfUser, partial(_of_user, Block)),
    "unblock": (_OfUser, partial(_of_user, Unblock)),
    "mute": (_OfUser, partial(_of_user, Mute)),
    "unmute": (_OfUser, partial(_of_user, Unmute)),
}

_line = msgspec.json.Decoder(Line)
_data = {name: (msgspec.json.Decoder(shape), build) for name, (shape, build) in _SHAPES.items()}


def parse(line: bytes) -> Line:
    """A line, its data unread. Raises `Invalid`, naming the field that is wrong."""
    try:
        parsed = _line.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Invalid("line-invalid", f"not a line of a command: {wrong}") from None
    if parsed.command not in CATALOG:
        raise Invalid(
            "command-unknown", f"no command {parsed.command!r}; there are {', '.join(CATALOG)}"
        )
    return parsed


def command_of(line: Line, references: References) -> Command:
    """The command that a line gives. Raises `Invalid` and `NotFound`."""
    data, build = _read(line)
    return build(data, references)


def credentials_of(line: Line) -> Credentials | None:
    """What a registered account is to sign in with; None for every other command."""
    data, _ = _read(line)
    return Credentials(data.email, data.password) if isinstance(data, _Registration) else None


def request_of(line: Line, timed: Callable[[int], int], references: References) -> Request:
    """All that a line asks for. `timed` gives an id of a Unix ms, for lines with `at`.

    `partial(request_of, line, timed)` can be given to `Handler.handle_many`, which resolves the
    references when the lines before are done. Raises `Invalid` and `NotFound`.
    """
    command = command_of(line, references)
    actor = 0
    if not isinstance(command, Register):
        if line.as_ is None:
            raise Invalid("as-missing", "'as' is missing: say who gives the command")
        actor = references.user(line.as_)
    key = None if line.key is None else keys.of_import(line.key, command, actor, line.at or "")
    return Request(command, actor, key, None if line.at is None else _ids_at(line.at, timed))


def _ids_at(at: str, timed: Callable[[int], int]) -> Callable[[], int]:
    ms = parse_time(at)
    if not EPOCH_MS <= ms <= LAST_MS:
        raise Invalid("time-out-of-range", "'at' must lie between 2010-11-05 and 2080-07-10")
    return partial(timed, ms)


def _read(line: Line) -> tuple[Any, Callable[[Any, References], Command]]:
    decoder, build = _data[line.command]
    try:
        return decoder.decode(line.data), build
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Invalid("data-invalid", f"the data of {line.command!r} is wrong: {wrong}") from None
