"""References, by which commands name users and posts: `123`, `@handle`, `key:KEY`."""

from commands import idempotency, rules
from commands.errors import InvalidInput, NotFound
from commands.stream_reader import StateSource, StreamReader
from events import streams
from events.ids.snowflake import parse_decimal
from events.log import EventLog, run_read


class ReferenceResolver:
    """Resolves references to ids.

    An id stands for itself: the command's rule says whether it exists. `key:KEY` is the result of
    the imported line with that key.
    """

    __slots__ = ("_log", "_source")

    def __init__(self, log: EventLog, source: StateSource | None = None) -> None:
        """Reads `source`, or the log as it is at each call."""
        self._log = log
        self._source = source

    def user_id(self, reference: str) -> int:
        """The id of a user. Raises `NotFound`, or `InvalidInput` for what is no reference."""
        if not reference.startswith("@"):
            return self._resolve_id_or_key(reference, "user", "an id, an @handle or key:KEY")
        handle = reference[1:].lower()
        user = (
            self._state_source()(streams.handle_stream(handle), rules.HANDLE_HOLDER)
            if handle
            else 0
        )
        if not user:
            raise NotFound("user-not-found", f"no user is called {reference!r}; check the handle")
        return user

    async def find_user(self, reference: str) -> int:
        """As `user_id`, for a coroutine."""
        if id := parse_decimal(reference):
            return id
        return await run_read(self._log, self.user_id, reference)

    def post_id(self, reference: str) -> int:
        """The id of a post. Raises `NotFound`, or `InvalidInput` for what is no reference."""
        return self._resolve_id_or_key(reference, "post", "an id or key:KEY")

    def list_id(self, reference: str) -> int:
        """The id of a list. Raises `NotFound`, or `InvalidInput` for what is no reference."""
        return self._resolve_id_or_key(reference, "list", "an id or key:KEY")

    def filter_id(self, reference: str) -> int:
        """The id of a filter. Raises `NotFound`, or `InvalidInput` for what is no reference."""
        return self._resolve_id_or_key(reference, "filter", "an id or key:KEY")

    def _resolve_id_or_key(self, reference: str, kind: str, allowed: str) -> int:
        if reference.startswith("key:"):
            key = idempotency.IMPORT_KEY_PREFIX + reference[4:]
            result = self._state_source().idempotency_result(key)
            if result is None:
                raise NotFound(
                    f"{kind}-not-found", f"no line with the key {reference[4:]!r} was done before"
                )
            return result.result_id
        if id := parse_decimal(reference):
            return id
        raise InvalidInput("reference-invalid", f"{reference!r} names no {kind}; give {allowed}")

    def _state_source(self) -> StateSource:
        return StreamReader(self._log) if self._source is None else self._source
