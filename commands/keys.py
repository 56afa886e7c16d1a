"""Idempotency keys: whose they are, and what they stand for.

A key belongs to who uses it, so that nobody meets another's: a signed-in user, the registrations
(which have no user yet), the imports. The fingerprint is a digest of the request's content, so
that a key used for something else is noticed. Passwords and emails are no part of a command, and
so none of a fingerprint.
"""

import hashlib
from typing import Final

import msgspec

from commands.decider import Command
from commands.errors import Invalid
from events.log import Key

LONGEST: Final = 200
IMPORTED: Final = "import:"
"""What stands before the keys of imports, and so before what `key:KEY` refers to."""

_encode = msgspec.msgpack.Encoder().encode


def of_user(actor: int, key: str, command: Command) -> Key:
    """The key of a signed-in user's request. Raises `Invalid`."""
    return Key(f"{actor}:{_checked(key)}", _fingerprint(command, actor, ""))


def of_registration(key: str, command: Command) -> Key:
    """The key of a registration by somebody unknown yet. Raises `Invalid`."""
    return Key(f"register:{_checked(key)}", _fingerprint(command, 0, ""))


def of_import(key: str, command: Command, actor: int, at: str = "") -> Key:
    """The key of an imported line; `at` is its time as written. Raises `Invalid`."""
    return Key(f"{IMPORTED}{_checked(key)}", _fingerprint(command, actor, at))


def _checked(key: str) -> str:
    if not 0 < len(key) <= LONGEST or not key.isprintable():
        raise Invalid("key-invalid", f"a key is 1 to {LONGEST} printable characters; shorten it")
    return key


def _fingerprint(command: Command, actor: int, at: str) -> bytes:
    content = _encode((type(command).__name__, actor, at, command))
    return hashlib.blake2b(content, digest_size=16).digest()
