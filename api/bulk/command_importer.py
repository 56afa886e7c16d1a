"""Lines of commands (NDJSON), for `POST /v1/commands` and `starling import` alike.

Every line is answered, in order; a bad one stops none after it. Each sees what the lines before it
did. With a key a line is done once, however often it is sent.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from api.accounts.account_store import AccountStore
from api.bulk.registration_batch import RegistrationBatch
from api.http.errors import EXPECTED_ERRORS, Problem, translate_error
from commands import import_line as parsing
from commands.batch import DeferredRequest
from commands.errors import CommandRejected
from commands.handler import CommandHandler
from commands.import_line import Credentials, ImportLine
from commands.references import ReferenceResolver
from commands.registry import DECIDERS_BY_NAME
from commands.request import CommandOutcome, CommandRequest
from events.log import EventLog

WINDOW_LINES: Final = 1000
"""A good number of lines for one call: few leases and commits, answers within a second."""

IdAtTime = Callable[[int], int]
"""An id of a Unix ms."""

RegisterAccount = Callable[[CommandRequest, Credentials], Awaitable[CommandOutcome]]
"""Registers somebody who can sign in; safe against a crash between account and log."""


class LineResult(msgspec.Struct, omit_defaults=True):
    """What came of one line; `status` as in HTTP, ids and positions as text."""

    key: str | None
    status: int
    id: str | UnsetType = UNSET
    position: str | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class _KeyedLine(msgspec.Struct):
    """What can be read of a line that is otherwise wrong."""

    key: str | None = None


class CommandImporter:
    """Does lines of commands.

    `importing` opens a source of ids at given times; it is asked for once a call, and only where a
    line has a time.
    """

    def __init__(
        self,
        log: EventLog,
        handler: CommandHandler,
        accounts: AccountStore,
        join: RegisterAccount,
        importing: Callable[[], AbstractContextManager[IdAtTime]],
    ) -> None:
        self._references = ReferenceResolver(log)
        self._handler = handler
        self._accounts = accounts
        self._register_account = join
        self._open_ids = importing

    async def run_lines(self, lines: Sequence[bytes]) -> list[LineResult]:
        """Do the lines, of which none is blank; what came of each, in order.

        Raises nothing that is expected: where the log, the accounts or the ids fail, the lines
        whose fate is unknown are answered with 503, and are safe to send again with their keys.
        """
        results: dict[int, LineResult] = {}
        todo: list[tuple[int, ImportLine]] = []
        for index, raw in enumerate(lines):
            try:
                todo.append((index, parsing.parse_import_line(raw)))
            except CommandRejected as error:
                results[index] = _refused_result(_key_from_raw(raw), error)
        try:
            async with self._open_import_ids([line for _, line in todo]) as timed:
                await self._run_parsed(todo, timed, results)
        except EXPECTED_ERRORS as error:
            for index, line in todo:
                results.setdefault(index, _refused_result(line.key, error))
        return [results[index] for index in range(len(lines))]

    async def _run_parsed(
        self, todo: list[tuple[int, ImportLine]], timed: IdAtTime, results: dict[int, LineResult]
    ) -> None:
        """Ordinary lines in one batch; who gets an account to sign in with in their place."""
        together: list[tuple[int, ImportLine]] = []
        joining = RegistrationBatch()
        for index, line in todo:
            try:
                credentials = _sign_in_credentials(line)
                request = credentials and parsing.request_from_line(line, timed, self._references)
            except CommandRejected as error:
                results[index] = _refused_result(line.key, error)
                continue
            if credentials and request:
                await self._run_together(together, timed, results)
                if not joining.can_add(request, credentials):
                    await self._register_together(joining, results)
                joining.add(index, line, request, credentials)
            else:
                await self._register_together(joining, results)
                together.append((index, line))
        await self._run_together(together, timed, results)
        await self._register_together(joining, results)

    async def _run_together(
        self, todo: list[tuple[int, ImportLine]], timed: IdAtTime, results: dict[int, LineResult]
    ) -> None:
        if not todo:
            return
        requests: list[CommandRequest | DeferredRequest] = [
            partial(parsing.request_from_line, line, timed) for _, line in todo
        ]
        came = await self._handler.handle_many(requests)
        for (index, line), outcome in zip(todo, came, strict=True):
            if isinstance(outcome, CommandRejected):
                results[index] = _refused_result(line.key, outcome)
                continue
            if line.command == "delete_account":
                # Also when it is repeated: the first time may have ended before this.
                await self._accounts.remove(outcome.id)
            results[index] = _done_result(line, outcome)
        todo.clear()

    async def _register_together(
        self, joining: RegistrationBatch, results: dict[int, LineResult]
    ) -> None:
        async def register_one(
            index: int, line: ImportLine, request: CommandRequest, credentials: Credentials
        ) -> None:
            try:
                results[index] = _done_result(
                    line, await self._register_account(request, credentials)
                )
            except EXPECTED_ERRORS as error:
                results[index] = _refused_result(line.key, error)

        await asyncio.gather(*(register_one(*each) for each in joining.registrations))
        joining.clear()

    @asynccontextmanager
    async def _open_import_ids(self, lines: list[ImportLine]) -> AsyncIterator[IdAtTime]:
        if all(line.at is None for line in lines):
            yield _no_timed_ids
            return
        # Taking and giving back a lease waits for the disk.
        opened = self._open_ids()
        timed = await asyncio.to_thread(opened.__enter__)
        try:
            yield timed
        finally:
            await asyncio.to_thread(opened.__exit__, None, None, None)


def _no_timed_ids(unix_ms: int) -> int:
    raise AssertionError("no line has a time, so none can ask for an id of one")


def _sign_in_credentials(line: ImportLine) -> Credentials | None:
    """What a new account is to sign in with, if anything. Raises `InvalidInput`."""
    if line.command != "register":
        return None
    found = parsing.credentials_from_line(line)
    return found if found and (found.email or found.password) else None


def _key_from_raw(raw: bytes) -> str | None:
    try:
        return msgspec.json.decode(raw, type=_KeyedLine).key
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # not even that can be read: the answer's place says which line it was


def _done_result(line: ImportLine, outcome: CommandOutcome) -> LineResult:
    status = 201 if DECIDERS_BY_NAME[line.command].creates else 200
    return LineResult(line.key, status, str(outcome.id), str(outcome.position))


def _refused_result(key: str | None, error: Exception) -> LineResult:
    refusal = translate_error(error)
    return LineResult(key, refusal.status, problem=refusal.problem)
