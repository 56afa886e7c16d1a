"""Accounts: registration, profile, end.

A registration takes a handle and makes an account, in two streams. A log that can't append to both
at once gets the claim first. A claim whose registration never followed (the process died in
between) is taken over by the next who wants the handle; the `RegistrationAbandoned` that is
written before makes the late half of the first registration, should it still come, conflict.
"""

import re
import unicodedata
from typing import Final, NamedTuple

from commands import facts
from commands.decider import NOTHING, Aggregate, Asked, Change, Command, Decider, Decision, Look
from commands.errors import Conflict, Invalid
from events import streams
from events.schema import (
    Event,
    HandleClaimed,
    ProfileChanged,
    RegistrationAbandoned,
    UserDeleted,
    UserRegistered,
)

LONGEST_NAME: Final = 50
LONGEST_BIO: Final = 500
_HANDLE: Final = re.compile(r"[a-z0-9_]{2,30}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_LINES: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Register(Command, frozen=True):
    """Make an account. Nobody gives this command: its actor is 0."""

    handle: str
    name: str
    bio: str = ""


class ChangeProfile(Command, frozen=True):
    """Change what the profile shows; None leaves a value as it is."""

    name: str | None = None
    bio: str | None = None


class DeleteAccount(Command, frozen=True):
    """End the actor's account. The handle stays taken."""


class Account(NamedTuple):
    """What the stream of a user says."""

    handle: str = ""
    name: str = ""
    bio: str = ""
    registered: bool = False
    abandoned: bool = False
    deleted: bool = False


def _evolve(state: Account, event: Event) -> Account:
    match event:
        case UserRegistered(handle=handle, name=name, bio=bio):
            return Account(handle, name, bio, registered=True)
        case ProfileChanged(name=name, bio=bio):
            return state._replace(name=name, bio=bio)
        case RegistrationAbandoned():
            return state._replace(abandoned=True)
        case UserDeleted():
            return state._replace(deleted=True)
    return state


ACCOUNT = Aggregate(Account(), _evolve)
"""Of a stream `user-<id>`."""


def fold_handle(handle: str) -> str:
    """The handle in the form in which it is unique. Raises `Invalid`."""
    folded = handle.lower()
    # ASCII alone: the Kelvin sign, say, lowers to an ordinary k.
    if not handle.isascii() or not _HANDLE.fullmatch(folded):
        raise Invalid(
            "handle-invalid", "a handle is 2 to 30 of the characters a-z, 0-9 and _; choose another"
        )
    return folded


def _checked_name(name: str) -> str:
    name = unicodedata.normalize("NFC", name).strip()
    if not name:
        raise Invalid("name-empty", "the name is empty; give one of 1 to 50 characters")
    if len(name) > LONGEST_NAME:
        raise Invalid(
            "name-too-long", f"the name has {len(name)} characters; shorten it to {LONGEST_NAME}"
        )
    if _CONTROL.search(name):
        raise Invalid("name-invalid", "the name holds control characters; take them out")
    return name


def _checked_bio(bio: str) -> str:
    bio = unicodedata.normalize("NFC", bio).strip()
    if len(bio) > LONGEST_BIO:
        raise Invalid(
            "bio-too-long", f"the bio has {len(bio)} characters; shorten it to {LONGEST_BIO}"
        )
    if _CONTROL_BUT_LINES.search(bio):
        raise Invalid("bio-invalid", "the bio holds control characters; take them out")
    return bio


def checked_change(command: ChangeProfile) -> ChangeProfile:
    """The change as it is stored. Raises `Invalid`."""
    name = None if command.name is None else _checked_name(command.name)
    return ChangeProfile(name, None if command.bio is None else _checked_bio(command.bio))


def _register(command: Register, asked: Asked, look: Look) -> Decision:
    handle = fold_handle(command.handle)
    name, bio = _checked_name(command.name), _checked_bio(command.bio)
    claim = Change(streams.handle(handle), (HandleClaimed(handle, asked.id),))
    registration = Change(streams.user(asked.id), (UserRegistered(asked.id, handle, name, bio),))
    holder = look(streams.handle(handle), facts.HOLDER)
    if not holder:
        return claim, registration
    account = look(streams.user(holder), ACCOUNT)
    if account.registered:
        raise Conflict("handle-taken", f"the handle {handle} is taken; choose another")
    if account.abandoned:
        return claim, registration
    takeover = Change(streams.user(holder), (RegistrationAbandoned(holder, handle),))
    return takeover, claim, registration


def _change_profile(command: ChangeProfile, asked: Asked, look: Look) -> Decision:
    facts.may_act(asked, look)
    stream = streams.user(asked.actor)
    account = look(stream, ACCOUNT)
    checked = checked_change(command)
    name = account.name if checked.name is None else checked.name
    bio = account.bio if checked.bio is None else checked.bio
    if (name, bio) == (account.name, account.bio):
        return NOTHING
    return (Change(stream, (ProfileChanged(asked.actor, name, bio),)),)


def _delete_account(command: DeleteAccount, asked: Asked, look: Look) -> Decision:
    stream = streams.user(asked.actor)
    account = look(stream, ACCOUNT)
    if account.deleted:
        return NOTHING
    facts.may_act(asked, look)
    return (Change(stream, (UserDeleted(asked.actor, account.handle),)),)


REGISTER: Final[Decider[Register]] = Decider("register", Register, _register, makes=True)
CHANGE_PROFILE: Final[Decider[ChangeProfile]] = Decider(
    "change_profile", ChangeProfile, _change_profile
)
DELETE_ACCOUNT: Final[Decider[DeleteAccount]] = Decider(
    "delete_account", DeleteAccount, _delete_account
)
