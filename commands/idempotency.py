"""Idempotency keys: their names in the log, and the fingerprints of requests.

A key's name says whose it is, so that clients can't use one another's: a signed-in user's, the
registrations' (which have no user yet), the imports'. The fingerprint is a digest of the request's
content, so that a key that is used for another request is noticed. It holds the names of command
classes and fields: they never change, and a new field is one of `_LATER_FIELDS`. Passwords and
emails are no part of a command, and so none of a fingerprint.
"""

import hashlib
from typing import Final

import msgspec

from commands.decider import Command
from commands.errors import InvalidInput
from events.log import IdempotencyKey

MAX_KEY_LENGTH: Final = 200
IMPORT_KEY_PREFIX: Final = "import:"
"""Stands before the keys of imports, and so before the KEY of a reference `key:KEY`."""

_LATER_FIELDS: Final = frozenset(
    {
        "avatar", "header", "sensitive", "spoiler_text", "language", "until", "seconds",
        "notifications", "fields", "bot",
    }
)  # fmt: skip
"""Fields that commands got later. A command without them has the fingerprint of before."""

_encode_content = msgspec.msgpack.Encoder().encode


def key_for_user(actor: int, key: str, command: Command) -> IdempotencyKey:
    """The key of a signed-in user's request. Raises `InvalidInput`."""
    return IdempotencyKey(f"{actor}:{check_key(key)}", _fingerprint(command, actor, ""))


def key_for_registration(key: str, command: Command) -> IdempotencyKey:
    """The key of a registration. Raises `InvalidInput`."""
    return IdempotencyKey(f"register:{check_key(key)}", _fingerprint(command, 0, ""))


def key_for_import(key: str, command: Command, actor: int, at: str = "") -> IdempotencyKey:
    """The key of an imported line; `at` is its time as written. Raises `InvalidInput`."""
    return IdempotencyKey(
        f"{IMPORT_KEY_PREFIX}{_checked_key(key)}", _fingerprint(command, actor, at)
    )


def check_key(value: str) -> str:
    """The key in the value of a header, of which white space around it is no part (RFC 9110, 5.5):
    some proxies take it off, and others don't. Raises `InvalidInput`.
    """
    return _checked_key(value.strip(" \t"))


def _checked_key(key: str) -> str:
    if not 0 < len(key) <= MAX_KEY_LENGTH or not key.isprintable():
        raise InvalidInput(
            "key-invalid", f"a key is 1 to {MAX_KEY_LENGTH} printable characters; shorten it"
        )
    return key


def _fingerprint(command: Command, actor: int, at: str) -> bytes:
    fields = msgspec.structs.asdict(command)
    for name in _LATER_FIELDS.intersection(fields):
        if fields[name] is None:
            del fields[name]
    content = _encode_content((type(command).__name__, actor, at, fields))
    return hashlib.blake2b(content, digest_size=16).digest()
