"""Lines of commands (NDJSON), for `POST /v1/commands` and `starling import` alike.

Each line has a result, in order; a bad one stops none after it. Each sees what the lines before it
did. With a key a line is done once, however often it is sent.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from typing import Final, NamedTuple

import msgspec

from api.accounts.account_store import AccountStore
from api.accounts.errors import AccountError
from api.media.errors import MediaError
from api.media.media_library import OwnUploads
from commands import import_line as parsing
from commands.batch import DeferredRequest
from commands.decider import NO_UPLOADS
from commands.errors import CommandRejected, InvalidInput
from commands.handler import CommandHandler
from commands.import_line import Credentials, ImportLine, LineTimes
from commands.references import ReferenceResolver
from commands.registry import DECIDERS_BY_NAME
from commands.request import CommandOutcome, CommandRequest
from commands.user import Register
from events.ids.snowflake import SnowflakeError
from events.json_lines import BYTE_ORDER_MARK, UNREADABLE_JSON
from events.log import EventLog, LogError, run_read
from events.schema import Medium
from projections.store import StoreError

WINDOW_LINES: Final = 1000
"""A good number of lines for one call: few leases and commits, results within a second."""

LINE_BYTES_LIMIT: Final = 64 << 10
"""A longer line is no command."""

MAX_REGISTERED_TOGETHER: Final = 64

IdAtTime = Callable[[int], int]
"""An id of a Unix ms."""

RegisterAccount = Callable[[CommandRequest, Credentials], Awaitable[CommandOutcome]]
"""Registers a user who can sign in (`api.accounts.registration`)."""

_EXPECTED_ERRORS: Final = (
    CommandRejected,
    AccountError,
    LogError,
    MediaError,
    StoreError,
    SnowflakeError,
)


class LineResult(NamedTuple):
    """What came of one line: the outcome of its command, or the error that refused it."""

    key: str | None
    outcome: CommandOutcome | Exception
    created: bool = False
    """The command makes something, which has the outcome's id."""


class _Uploads(NamedTuple):
    owner: int
    media: Mapping[str, Medium]


_NO_UPLOADS: Final = _Uploads(0, NO_UPLOADS)


class _KeyedLine(msgspec.Struct):
    """What can be read of a line that is otherwise wrong."""

    key: str | None = None


class CommandImporter:
    """Does lines of commands.

    `open_import_ids` opens a source of ids at given times; `run_lines` opens one at most, and only
    where a line has a time. `uploads` are what lines may show; without them, they show no images.
    """

    def __init__(
        self,
        log: EventLog,
        handler: CommandHandler,
        accounts: AccountStore,
        register_account: RegisterAccount,
        open_import_ids: Callable[[], AbstractContextManager[IdAtTime]],
        clock_ms: Callable[[], int],
        uploads: OwnUploads | None = None,
    ) -> None:
        self._log = log
        self._uploads = uploads
        self._references = ReferenceResolver(log)
        self._handler = handler
        self._accounts = accounts
        self._register_account = register_account
        self._open_ids = open_import_ids
        self._clock_ms = clock_ms

    async def run_lines(self, lines: Sequence[bytes]) -> list[LineResult]:
        """Do the lines, of which none is blank; what came of each, in order.

        Raises nothing that is expected: where the log, the accounts or the ids fail, that error is
        the result of each line whose fate is unknown; these are safe to send again with their keys.
        """
        results: dict[int, LineResult] = {}
        parsed: list[tuple[int, ImportLine]] = []
        for index, raw in enumerate(lines):
            try:
                if len(raw) > LINE_BYTES_LIMIT + 1:  # its line feed is none of it
                    raise InvalidInput(
                        "line-too-long", f"a line is longer than {LINE_BYTES_LIMIT} bytes"
                    )
                parsed.append((index, parsing.parse_import_line(raw)))
            except CommandRejected as error:
                results[index] = LineResult(_key_from_raw(raw), error)
        try:
            async with self._open_import_ids([line for _, line in parsed]) as id_at:
                await self._run_parsed(parsed, LineTimes(id_at, self._clock_ms()), results)
        except _EXPECTED_ERRORS as error:
            for index, line in parsed:
                results.setdefault(index, LineResult(line.key, error))
        return [results[index] for index in range(len(lines))]

    async def _run_parsed(
        self, lines: list[tuple[int, ImportLine]], times: LineTimes, results: dict[int, LineResult]
    ) -> None:
        """Ordinary lines in batches; registrations of users who can sign in, at their place."""
        batch: list[tuple[int, ImportLine]] = []
        registrations = _RegistrationBatch()
        for index, line in lines:
            try:
                credentials = _sign_in_credentials(line)
                request = credentials and parsing.request_from_line(line, times, self._references)
            except CommandRejected as error:
                results[index] = LineResult(line.key, error)
                continue
            if credentials and request:
                await self._run_batch(batch, times, results)
                if not registrations.can_add(request, credentials):
                    await self._run_registrations(registrations, results)
                registrations.add(index, line, request, credentials)
            else:
                await self._run_registrations(registrations, results)
                batch.append((index, line))
        await self._run_batch(batch, times, results)
        await self._run_registrations(registrations, results)

    async def _run_batch(
        self, batch: list[tuple[int, ImportLine]], times: LineTimes, results: dict[int, LineResult]
    ) -> None:
        if not batch:
            return
        uploads = [await self._uploads_of(line) for _, line in batch]
        requests: list[CommandRequest | DeferredRequest] = [
            partial(parsing.request_from_line, line, times, uploads=shown.media)
            for (_, line), shown in zip(batch, uploads, strict=True)
        ]
        outcomes = await self._handler.handle_many(requests)
        for (index, line), shown, outcome in zip(batch, uploads, outcomes, strict=True):
            if shown.media and self._uploads and isinstance(outcome, CommandOutcome):
                await self._uploads.mark_shown(shown.owner, shown.media)
            if line.command == "delete_account" and isinstance(outcome, CommandOutcome):
                # Also when it is repeated: the first time may have ended before this.
                await self._accounts.remove(outcome.id)
            results[index] = _line_result(line, outcome)
        batch.clear()

    async def _uploads_of(self, line: ImportLine) -> "_Uploads":
        """What a line may show: its user has uploaded it before, so is known by now."""
        if self._uploads is None or line.as_ is None:
            return _NO_UPLOADS
        try:
            ids = parsing.media_of_line(line)
            if not ids:
                return _NO_UPLOADS
            owner = await run_read(self._log, self._references.user_id, line.as_)
        except CommandRejected:  # the line is refused for it in its turn
            return _NO_UPLOADS
        return _Uploads(owner, await self._uploads.find_uploads(owner, ids))

    async def _run_registrations(
        self, registrations: "_RegistrationBatch", results: dict[int, LineResult]
    ) -> None:
        async def register_one(
            index: int, line: ImportLine, request: CommandRequest, credentials: Credentials
        ) -> None:
            try:
                outcome = await self._register_account(request, credentials)
            except _EXPECTED_ERRORS as error:
                results[index] = LineResult(line.key, error)
            else:
                results[index] = _line_result(line, outcome)

        await asyncio.gather(*(register_one(*each) for each in registrations.added))
        registrations.clear()

    @asynccontextmanager
    async def _open_import_ids(self, lines: list[ImportLine]) -> AsyncIterator[IdAtTime]:
        if all(line.at is None for line in lines):
            yield _no_timed_ids
            return
        # Acquiring and releasing a lease waits for the disk.
        opened = self._open_ids()
        id_at = await asyncio.to_thread(opened.__enter__)
        try:
            yield id_at
        finally:
            await asyncio.to_thread(opened.__exit__, None, None, None)


class _RegistrationBatch:
    """Registrations that may run at the same time: none meets another's handle, email or key.

    Each waits for the disk twice, for the account and for the log: together they share that wait.
    """

    def __init__(self) -> None:
        self.added: list[tuple[int, ImportLine, CommandRequest, Credentials]] = []
        self._unique_names: set[tuple[str, str]] = set()

    def can_add(self, request: CommandRequest, credentials: Credentials) -> bool:
        return len(self.added) < MAX_REGISTERED_TOGETHER and self._unique_names.isdisjoint(
            _unique_names(request, credentials)
        )

    def add(
        self, index: int, line: ImportLine, request: CommandRequest, credentials: Credentials
    ) -> None:
        self.added.append((index, line, request, credentials))
        self._unique_names |= _unique_names(request, credentials)

    def clear(self) -> None:
        self.added.clear()
        self._unique_names.clear()


def _unique_names(request: CommandRequest, credentials: Credentials) -> set[tuple[str, str]]:
    command = request.command
    names = {("handle", command.handle.lower())} if isinstance(command, Register) else set()
    if credentials.email is not None:
        names.add(("email", credentials.email.casefold()))
    if request.key is not None:
        names.add(("key", request.key.name))
    return names


def _no_timed_ids(unix_ms: int) -> int:
    raise AssertionError("no line has a time, so none can need an id of one")


def _sign_in_credentials(line: ImportLine) -> Credentials | None:
    """What a new account is to sign in with, if anything. Raises `InvalidInput`."""
    if line.command != "register":
        return None
    found = parsing.credentials_from_line(line)
    return found if found and (found.email or found.password) else None


def _key_from_raw(raw: bytes) -> str | None:
    try:
        return msgspec.json.decode(raw.removeprefix(BYTE_ORDER_MARK), type=_KeyedLine).key
    except UNREADABLE_JSON:
        return None  # not even that can be read: the result's place says which line it was


def _line_result(line: ImportLine, outcome: CommandOutcome | CommandRejected) -> LineResult:
    return LineResult(line.key, outcome, created=DECIDERS_BY_NAME[line.command].creates)
