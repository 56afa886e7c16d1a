"""Lines of NDJSON, as imports send them: `{"command", "as", "key", "at", "data"}`.

`as`, and the ids in `data`, are references (`commands.references`). A `register` line needs no
`as`; its email and password never become part of a command, and no error message holds a value.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from commands import idempotency
from commands.block import Block, Mute, Unblock, Unmute
from commands.bookmark import Bookmark, Unbookmark
from commands.decider import NO_UPLOADS, Command
from commands.dismissal import DismissRecommendation
from commands.errors import InvalidInput
from commands.event_filter_parser import checked_time
from commands.filters import ChangeFilter, CreateFilter, DeleteFilter, KeywordChange
from commands.follow import Follow, RemoveFollower, Unfollow
from commands.followed_hashtag import FollowHashtag, UnfollowHashtag
from commands.like import Like, Unlike
from commands.lists import AddListMember, ChangeList, CreateList, DeleteList, RemoveListMember
from commands.muted_conversation import MuteConversation, UnmuteConversation
from commands.notifications import DismissNotifications, ReadNotifications
from commands.pin import Pin, Unpin
from commands.post import Comment, CreatePost, DeletePost, EditPost
from commands.private_note import WriteNote
from commands.references import ReferenceResolver
from commands.request import CommandRequest
from commands.retweet import Retweet, Unretweet
from commands.user import ChangeProfile, DeleteAccount, Register
from events.ids.snowflake import EPOCH_MS, first_id_at
from events.json_lines import BYTE_ORDER_MARK, UNREADABLE_JSON
from events.schema import Medium
from events.times import format_times

FUTURE_TOLERANCE_MS: Final = 5 * 60 * 1000
"""How far a line's time may be ahead of the clock here: other machines' clocks differ."""

Reference = str | int
"""An id may come as a number, too."""

_MEDIA_FIELDS: Final = (b'"media"', b'"avatar"', b'"header"')

BuildCommand = Callable[[Any, ReferenceResolver], Command]


class _StrictStruct(msgspec.Struct, forbid_unknown_fields=True):
    pass


class ImportLine(_StrictStruct):
    """One line; `data` is still JSON, since its shape depends on the command."""

    command: str
    as_: str | None = msgspec.field(default=None, name="as")
    key: str | None = None
    at: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"{}")


class LineTimes(NamedTuple):
    """What lines with `at` need: ids of their times, and the time now, which bounds them."""

    id_at: Callable[[int], int]
    """An id of a Unix ms."""
    now_ms: int


class Credentials(msgspec.Struct, frozen=True):
    """The sign-in of a new account. Never printed, not even in a traceback."""

    email: str | None
    password: str | None

    def __repr__(self) -> str:
        return "Credentials(...)"


class _RegistrationData(_StrictStruct):
    handle: str
    name: str
    bio: str = ""
    email: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return "Registration(...)"


class _NewPostData(_StrictStruct):
    text: str
    reply_to: Reference | None = None
    media: tuple[str, ...] = ()
    sensitive: bool | None = None
    spoiler_text: str | None = None
    language: str | None = None


class _NewCommentData(_StrictStruct):
    post: Reference
    text: str
    media: tuple[str, ...] = ()
    sensitive: bool | None = None
    spoiler_text: str | None = None
    language: str | None = None


class _EditPostData(_StrictStruct):
    post: Reference
    text: str | None = None
    sensitive: bool | None = None
    spoiler_text: str | None = None
    language: str | None = None


class _PostTargetData(_StrictStruct):
    post: Reference


class _UserTargetData(_StrictStruct):
    user: Reference


class _MuteData(_StrictStruct):
    user: Reference
    until: str | None = None
    seconds: int | None = None
    notifications: bool | None = None


class _NoteData(_StrictStruct):
    user: Reference
    text: str


class _ChangeListData(_StrictStruct):
    list: Reference
    title: str | None = None
    replies_policy: str | None = None


class _NewFilterData(_StrictStruct):
    title: str
    contexts: tuple[str, ...]
    action: str = "warn"
    expires_at: str = ""
    keywords: tuple[KeywordChange, ...] = ()


class _ChangeFilterData(_StrictStruct):
    filter: Reference
    title: str | None = None
    contexts: tuple[str, ...] | None = None
    action: str | None = None
    expires_at: str | None = None
    keywords: tuple[KeywordChange, ...] = ()
    filter_post: Reference | None = None
    unfilter: tuple[int, ...] = ()


class _FilterTargetData(_StrictStruct):
    filter: Reference


class _ListTargetData(_StrictStruct):
    list: Reference


class _ListMemberData(_StrictStruct):
    list: Reference
    user: Reference


def parse_import_line(line: bytes) -> ImportLine:
    """A line, its data not yet decoded. Raises `InvalidInput`, naming the field that is wrong."""
    try:
        parsed = _line_decoder.decode(line.removeprefix(BYTE_ORDER_MARK))
    except UNREADABLE_JSON as error:
        raise InvalidInput("line-invalid", f"not a line of a command: {error}") from None
    if parsed.command not in _BUILDERS:
        raise InvalidInput(
            "command-unknown",
            f"no command {parsed.command!r}; there are {', '.join(_BUILDERS)}",
        )
    return parsed


def command_from_line(line: ImportLine, references: ReferenceResolver) -> Command:
    """The command of a line. Raises `InvalidInput` and `NotFound`."""
    data, build = _decode_data(line)
    return build(data, references)


def credentials_from_line(line: ImportLine) -> Credentials | None:
    """The sign-in of a `register` line; None for every other command. Raises `InvalidInput`."""
    data, _ = _decode_data(line)
    return Credentials(data.email, data.password) if isinstance(data, _RegistrationData) else None


def media_of_line(line: ImportLine) -> tuple[str, ...]:
    """The ids of the uploads that a line shows. Raises `InvalidInput`."""
    if not any(name in bytes(line.data) for name in _MEDIA_FIELDS):
        return ()
    data, _ = _decode_data(line)
    if isinstance(data, ChangeProfile):
        return tuple(id for id in (data.avatar, data.header) if id)
    return tuple(getattr(data, "media", ()))


def request_from_line(
    line: ImportLine,
    times: LineTimes,
    references: ReferenceResolver,
    uploads: Mapping[str, Medium] = NO_UPLOADS,
) -> CommandRequest:
    """The request of a line, which may show these uploads.

    `partial(request_from_line, line, times)` is a deferred request for
    `CommandHandler.handle_many`, which resolves the references once the lines before are decided.
    Raises `InvalidInput` and `NotFound`.
    """
    command = command_from_line(line, references)
    actor = 0
    if not isinstance(command, Register):
        if line.as_ is None:
            raise InvalidInput("as-missing", "'as' is missing: say who gives the command")
        actor = references.user_id(line.as_)
    key = (
        None
        if line.key is None
        else idempotency.key_for_import(line.key, command, actor, line.at or "")
    )
    id_source = None if line.at is None else _id_source_at(line.at, times)
    return CommandRequest(command, actor, key, id_source, uploads)


def _id_source_at(at: str, times: LineTimes) -> Callable[[], int]:
    ms = checked_time(at)
    latest = times.now_ms + FUTURE_TOLERANCE_MS
    if not EPOCH_MS <= ms <= latest:
        first, last = format_times([0, first_id_at(latest)])
        raise InvalidInput(
            "time-out-of-range", f"'at' must lie between {first} and {last}, five minutes from now"
        )
    return partial(times.id_at, ms)


def _decode_data(line: ImportLine) -> tuple[Any, BuildCommand]:
    decoder, build = _data_decoders[line.command]
    try:
        return decoder.decode(line.data), build
    except UNREADABLE_JSON as error:
        raise InvalidInput(
            "data-invalid", f"the data of {line.command!r} is wrong: {error}"
        ) from None


def _build_registration(data: _RegistrationData, references: ReferenceResolver) -> Command:
    return Register(data.handle, data.name, data.bio)


def _use_as_command(data: Command, references: ReferenceResolver) -> Command:
    return data


def _build_post(data: _NewPostData, references: ReferenceResolver) -> Command:
    reply_to = None if data.reply_to is None else references.post_id(str(data.reply_to))
    return CreatePost(
        data.text, reply_to, data.media, data.sensitive, data.spoiler_text, data.language
    )


def _build_comment(data: _NewCommentData, references: ReferenceResolver) -> Command:
    post = references.post_id(str(data.post))
    return Comment(post, data.text, data.media, data.sensitive, data.spoiler_text, data.language)


def _build_edit(data: _EditPostData, references: ReferenceResolver) -> Command:
    post = references.post_id(str(data.post))
    return EditPost(post, data.text, data.sensitive, data.spoiler_text, data.language)


def _build_mute(data: _MuteData, references: ReferenceResolver) -> Command:
    until = None if data.until is None else checked_time(data.until)
    return Mute(references.user_id(str(data.user)), until, data.seconds, data.notifications)


def _build_note(data: _NoteData, references: ReferenceResolver) -> Command:
    return WriteNote(references.user_id(str(data.user)), data.text)


def _build_filter(data: _NewFilterData, references: ReferenceResolver) -> Command:
    expires_at = checked_time(data.expires_at) if data.expires_at else 0
    return CreateFilter(data.title, data.contexts, data.action, expires_at, data.keywords)


def _build_filter_change(data: _ChangeFilterData, references: ReferenceResolver) -> Command:
    expires_at = None
    if data.expires_at is not None:  # empty for never
        expires_at = checked_time(data.expires_at) if data.expires_at else 0
    return ChangeFilter(
        references.filter_id(str(data.filter)),
        data.title,
        data.contexts,
        data.action,
        expires_at,
        data.keywords,
        None if data.filter_post is None else references.post_id(str(data.filter_post)),
        data.unfilter,
    )


def _build_filter_deletion(data: _FilterTargetData, references: ReferenceResolver) -> Command:
    return DeleteFilter(references.filter_id(str(data.filter)))


def _build_list_change(data: _ChangeListData, references: ReferenceResolver) -> Command:
    return ChangeList(references.list_id(str(data.list)), data.title, data.replies_policy)


def _build_list_deletion(data: _ListTargetData, references: ReferenceResolver) -> Command:
    return DeleteList(references.list_id(str(data.list)))


def _for_member(command: Callable[[int, int], Command]) -> tuple[type[Any], BuildCommand]:
    return _ListMemberData, lambda data, references: command(
        references.list_id(str(data.list)), references.user_id(str(data.user))
    )


def _for_post(command: Callable[[int], Command]) -> tuple[type[Any], BuildCommand]:
    return _PostTargetData, lambda data, references: command(references.post_id(str(data.post)))


def _for_user(command: Callable[[int], Command]) -> tuple[type[Any], BuildCommand]:
    return _UserTargetData, lambda data, references: command(references.user_id(str(data.user)))


_BUILDERS: Final[dict[str, tuple[type[Any], BuildCommand]]] = {
    "register": (_RegistrationData, _build_registration),
    "change_profile": (ChangeProfile, _use_as_command),
    "delete_account": (DeleteAccount, _use_as_command),
    "post": (_NewPostData, _build_post),
    "edit_post": (_EditPostData, _build_edit),
    "delete_post": _for_post(DeletePost),
    "comment": (_NewCommentData, _build_comment),
    "like": _for_post(Like),
    "unlike": _for_post(Unlike),
    "retweet": _for_post(Retweet),
    "unretweet": _for_post(Unretweet),
    "follow": _for_user(Follow),
    "unfollow": _for_user(Unfollow),
    "remove_follower": _for_user(RemoveFollower),
    "block": _for_user(Block),
    "unblock": _for_user(Unblock),
    "mute": (_MuteData, _build_mute),
    "unmute": _for_user(Unmute),
    "write_note": (_NoteData, _build_note),
    "dismiss_recommendation": _for_user(DismissRecommendation),
    "bookmark": _for_post(Bookmark),
    "unbookmark": _for_post(Unbookmark),
    "pin": _for_post(Pin),
    "unpin": _for_post(Unpin),
    "follow_hashtag": (FollowHashtag, _use_as_command),
    "unfollow_hashtag": (UnfollowHashtag, _use_as_command),
    "mute_conversation": _for_post(MuteConversation),
    "unmute_conversation": _for_post(UnmuteConversation),
    "read_notifications": (ReadNotifications, _use_as_command),
    "dismiss_notifications": (DismissNotifications, _use_as_command),
    "create_filter": (_NewFilterData, _build_filter),
    "change_filter": (_ChangeFilterData, _build_filter_change),
    "delete_filter": (_FilterTargetData, _build_filter_deletion),
    "create_list": (CreateList, _use_as_command),
    "change_list": (_ChangeListData, _build_list_change),
    "delete_list": (_ListTargetData, _build_list_deletion),
    "add_list_member": _for_member(AddListMember),
    "remove_list_member": _for_member(RemoveListMember),
}
"""Command name -> (the shape of `data`, how it becomes the command).

Moderation is not among them: a line says in whose name it is, and no line can say that this user is
an operator.
"""

_line_decoder = msgspec.json.Decoder(ImportLine)
_data_decoders = {
    name: (msgspec.json.Decoder(shape), build) for name, (shape, build) in _BUILDERS.items()
}
