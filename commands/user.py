"""Accounts: registration, profile, end.

A registration takes a handle and makes an account, in two streams. A log that can't append to both
at once gets the claim first. A claim whose registration never followed (the process died in
between) is taken over by the next registration that wants the handle. It first writes a
`RegistrationAbandoned`, with which the late half of the first one, if it still comes, conflicts.
"""

import re
from typing import Final, NamedTuple

from commands import rules, text
from commands.decider import (
    NO_EVENTS,
    Aggregate,
    Command,
    CommandContext,
    Decider,
    Decision,
    ReadState,
    StreamWrite,
)
from commands.errors import InvalidInput, StateConflict
from events import streams
from events.schema import (
    Event,
    HandleClaimed,
    ProfileChanged,
    RegistrationAbandoned,
    UserDeleted,
    UserRegistered,
)

MAX_NAME_LENGTH: Final = 50
MAX_BIO_LENGTH: Final = 500
MAX_FIELDS: Final = 4
MAX_FIELD_LENGTH: Final = 255
MIN_HANDLE_LENGTH: Final = 2
MAX_HANDLE_LENGTH: Final = 30
_HANDLE_PATTERN: Final = re.compile(rf"[a-z0-9_]{{{MIN_HANDLE_LENGTH},{MAX_HANDLE_LENGTH}}}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BIDI_CONTROL: Final = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Unicode's property of that name. A name stands within lines of others, and would turn them."""


class Register(Command, frozen=True):
    """Make an account. There is no actor yet: it is 0."""

    handle: str
    name: str
    bio: str = ""


class ChangeProfile(Command, frozen=True):
    """Change what the profile shows; None leaves a value as it is.

    `avatar` and `header` are ids of uploads; an empty one takes the picture away. `fields` are
    pairs of a name and a value.
    """

    name: str | None = None
    bio: str | None = None
    avatar: str | None = None
    header: str | None = None
    fields: tuple[tuple[str, str], ...] | None = None
    bot: bool | None = None


class DeleteAccount(Command, frozen=True):
    """Delete the actor's account. The handle stays taken."""


class UserState(NamedTuple):
    """The state of an account."""

    handle: str = ""
    name: str = ""
    bio: str = ""
    registered: bool = False
    abandoned: bool = False
    deleted: bool = False
    avatar: str = ""
    header: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    bot: bool = False


_SHOWN: Final = ("name", "bio", "avatar", "header", "fields", "bot")


def _evolve(state: UserState, event: Event) -> UserState:
    match event:
        case UserRegistered(handle=handle, name=name, bio=bio):
            return UserState(handle, name, bio, registered=True)
        case ProfileChanged():
            shown = {name: getattr(event, name) for name in _SHOWN}
            return state._replace(**shown)
        case RegistrationAbandoned():
            return state._replace(abandoned=True)
        case UserDeleted():
            return state._replace(deleted=True)
    return state


USER_STATE = Aggregate(UserState(), _evolve)
"""Of a stream `user-<id>`."""


def fold_handle(handle: str) -> str:
    """The handle in the form in which it is unique. Raises `InvalidInput`."""
    folded = handle.lower()
    # ASCII alone: the Kelvin sign, say, lowers to an ordinary k.
    if not handle.isascii() or not _HANDLE_PATTERN.fullmatch(folded):
        raise InvalidInput(
            "handle-invalid", "a handle is 2 to 30 of the characters a-z, 0-9 and _; choose another"
        )
    return folded


def _checked_name(name: str) -> str:
    name = text.normalise_bounded(name, MAX_NAME_LENGTH)
    if text.is_invisible(name):
        raise InvalidInput(
            "name-empty", "nothing in the name can be seen; give one of 1 to 50 characters"
        )
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidInput(
            "name-too-long", f"the name has {len(name)} characters; shorten it to {MAX_NAME_LENGTH}"
        )
    if _CONTROL.search(name):
        raise InvalidInput("name-invalid", "the name holds control characters; take them out")
    if _BIDI_CONTROL.search(name):
        raise InvalidInput(
            "name-invalid", "the name holds characters that change the direction; take them out"
        )
    return name


def _checked_bio(bio: str) -> str:
    bio = text.normalise_bounded(bio, MAX_BIO_LENGTH)
    if len(bio) > MAX_BIO_LENGTH:
        raise InvalidInput(
            "bio-too-long", f"the bio has {len(bio)} characters; shorten it to {MAX_BIO_LENGTH}"
        )
    if text.has_control_characters(bio):
        raise InvalidInput("bio-invalid", "the bio holds control characters; take them out")
    return bio


def _checked_fields(fields: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    kept = []
    for pair in fields:
        name, value = (text.normalise_bounded(one, MAX_FIELD_LENGTH) for one in pair)
        if not name and not value:
            continue  # a line of a form that was left empty
        if text.is_invisible(name) or _CONTROL.search(name + value):
            message = "a field of the profile has a name, and no control characters"
            raise InvalidInput("field-invalid", message)
        if max(len(name), len(value)) > MAX_FIELD_LENGTH:
            message = f"a field's name and value have {MAX_FIELD_LENGTH} characters at most"
            raise InvalidInput("field-too-long", message)
        kept.append((name, value))
    if len(kept) > MAX_FIELDS:
        raise InvalidInput("fields-too-many", f"a profile has {MAX_FIELDS} fields at most")
    return tuple(kept)


def checked_profile_change(command: ChangeProfile) -> ChangeProfile:
    """The change with its values as they are stored. Raises `InvalidInput`."""
    name = None if command.name is None else _checked_name(command.name)
    bio = None if command.bio is None else _checked_bio(command.bio)
    fields = None if command.fields is None else _checked_fields(command.fields)
    return ChangeProfile(name, bio, command.avatar, command.header, fields, command.bot)


def _checked_picture(wanted: str | None, present: str, context: CommandContext) -> str:
    """The picture from now on."""
    if wanted is None or wanted == present:
        return present
    return rules.require_upload(wanted, context).id if wanted else ""


def _decide_registration(
    command: Register, context: CommandContext, read_state: ReadState
) -> Decision:
    handle = fold_handle(command.handle)
    name, bio = _checked_name(command.name), _checked_bio(command.bio)
    claim = StreamWrite(streams.handle_stream(handle), (HandleClaimed(handle, context.new_id),))
    registration = StreamWrite(
        streams.user_stream(context.new_id), (UserRegistered(context.new_id, handle, name, bio),)
    )
    holder = read_state(streams.handle_stream(handle), rules.HANDLE_HOLDER)
    if not holder:
        return claim, registration
    account = read_state(streams.user_stream(holder), USER_STATE)
    if account.registered:
        raise StateConflict("handle-taken", f"the handle {handle} is taken; choose another")
    if account.abandoned:
        return claim, registration
    takeover = StreamWrite(streams.user_stream(holder), (RegistrationAbandoned(holder, handle),))
    return takeover, claim, registration


def _decide_profile_change(
    command: ChangeProfile, context: CommandContext, read_state: ReadState
) -> Decision:
    rules.require_active_actor(context, read_state)
    stream = streams.user_stream(context.actor)
    account = read_state(stream, USER_STATE)
    checked = checked_profile_change(command)
    old_name, old_bio = context.open_text(account.name), context.open_text(account.bio)
    name = old_name if checked.name is None else checked.name
    bio = old_bio if checked.bio is None else checked.bio
    avatar = _checked_picture(checked.avatar, account.avatar, context)
    header = _checked_picture(checked.header, account.header, context)
    old_fields = tuple(
        (context.open_text(name), context.open_text(value)) for name, value in account.fields
    )
    fields = old_fields if checked.fields is None else checked.fields
    bot = account.bot if checked.bot is None else checked.bot
    old = (old_name, old_bio, account.avatar, account.header, old_fields, account.bot)
    if (name, bio, avatar, header, fields, bot) == old:
        return NO_EVENTS
    changed = ProfileChanged(context.actor, name, bio, avatar, header, fields, bot)
    return (StreamWrite(stream, (changed,)),)


def _decide_account_deletion(
    command: DeleteAccount, context: CommandContext, read_state: ReadState
) -> Decision:
    stream = streams.user_stream(context.actor)
    account = read_state(stream, USER_STATE)
    if account.deleted:
        return NO_EVENTS
    rules.require_active_actor(context, read_state)
    return (StreamWrite(stream, (UserDeleted(context.actor, account.handle),)),)


REGISTER: Final[Decider[Register]] = Decider(Register, _decide_registration, creates=True)
CHANGE_PROFILE: Final[Decider[ChangeProfile]] = Decider(ChangeProfile, _decide_profile_change)
DELETE_ACCOUNT: Final[Decider[DeleteAccount]] = Decider(DeleteAccount, _decide_account_deletion)
