"""How commands name users and posts: `123`, `@handle`, `key:KEY`."""

import re
from collections.abc import Callable
from typing import Final

from commands import facts, keys
from commands.errors import Invalid, NotFound
from commands.sight import Sight, Source
from events import streams
from events.log import EventLog
from events.snowflake import LAST_ID

_ID: Final = re.compile(r"[0-9]{1,19}")


class References:
    """Resolves references against a source: the log, or the log as a batch will leave it.

    An id is taken as it stands: the rule of the command says whether it exists. `key:KEY` names
    what the imported line with that key made.
    """

    __slots__ = ("_look",)

    def __init__(self, log: EventLog) -> None:
        """References against the log as it is at each call."""
        self._look: Callable[[], Source] = lambda: Sight(log)

    @classmethod
    def over(cls, source: Source) -> "References":
        """References against what a batch sees."""
        references = cls.__new__(cls)
        references._look = lambda: source
        return references

    def user(self, reference: str) -> int:
        """The id of a user. Raises `NotFound`, or `Invalid` for what is no reference."""
        if reference.startswith("@"):
            handle = reference[1:].lower()
            holder = self._look()(streams.handle(handle), facts.HOLDER) if handle else 0
            if not holder:
                raise NotFound(
                    "user-not-found", f"nobody is called {reference!r}; check the handle"
                )
            return holder
        return self._id_or_key(reference, "user", "an id, an @handle or key:KEY")

    def post(self, reference: str) -> int:
        """The id of a post. Raises `NotFound`, or `Invalid` for what is no reference."""
        return self._id_or_key(reference, "post", "an id or key:KEY")

    def _id_or_key(self, reference: str, kind: str, allowed: str) -> int:
        if reference.startswith("key:"):
            seen = self._look().remembered(keys.IMPORTED + reference[4:])
            if seen is None:
                raise NotFound(
                    f"{kind}-not-found", f"no line with the key {reference[4:]!r} was done before"
                )
            return seen.result
        if _ID.fullmatch(reference) and 0 < (id := int(reference)) <= LAST_ID:
            return id
        raise Invalid("reference-invalid", f"{reference!r} names no {kind}; give {allowed}")
