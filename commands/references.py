"""How commands name users and posts: `123`, `@handle`, `key:KEY`."""

import re
from collections.abc import Callable
from typing import Final

from commands import idempotency, rules
from commands.errors import InvalidInput, NotFound
from commands.stream_reader import StateSource, StreamReader
from events import streams
from events.ids.snowflake import LAST_ID
from events.log import EventLog

_ID_PATTERN: Final = re.compile(r"[0-9]{1,19}")


class ReferenceResolver:
    """Resolves references against a source: the log, or the log as a batch will leave it.

    An id is taken as it stands: the rule of the command says whether it exists. `key:KEY` names
    what the imported line with that key made.
    """

    __slots__ = ("_current_source",)

    def __init__(self, log: EventLog) -> None:
        """References against the log as it is at each call."""
        self._current_source: Callable[[], StateSource] = lambda: StreamReader(log)

    @classmethod
    def from_source(cls, source: StateSource) -> "ReferenceResolver":
        """References against what a batch sees."""
        references = cls.__new__(cls)
        references._current_source = lambda: source
        return references

    def user_id(self, reference: str) -> int:
        """The id of a user. Raises `NotFound`, or `InvalidInput` for what is no reference."""
        if reference.startswith("@"):
            handle = reference[1:].lower()
            holder = (
                self._current_source()(streams.handle_stream(handle), rules.HANDLE_HOLDER)
                if handle
                else 0
            )
            if not holder:
                raise NotFound(
                    "user-not-found", f"nobody is called {reference!r}; check the handle"
                )
            return holder
        return self._resolve_id_or_key(reference, "user", "an id, an @handle or key:KEY")

    def post_id(self, reference: str) -> int:
        """The id of a post. Raises `NotFound`, or `InvalidInput` for what is no reference."""
        return self._resolve_id_or_key(reference, "post", "an id or key:KEY")

    def _resolve_id_or_key(self, reference: str, kind: str, allowed: str) -> int:
        if reference.startswith("key:"):
            seen = self._current_source().idempotency_result(
                idempotency.IMPORT_KEY_PREFIX + reference[4:]
            )
            if seen is None:
                raise NotFound(
                    f"{kind}-not-found", f"no line with the key {reference[4:]!r} was done before"
                )
            return seen.result_id
        if _ID_PATTERN.fullmatch(reference) and 0 < (id := int(reference)) <= LAST_ID:
            return id
        raise InvalidInput("reference-invalid", f"{reference!r} names no {kind}; give {allowed}")
