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

from api.accounts import Accounts
from api.errors import EXPECTED, Problem, refusal_of
from api.joining import Joining
from commands import lines as parsing
from commands.catalog import CATALOG
from commands.errors import Rejected
from commands.handle import Handler, Later, Outcome, Request
from commands.lines import Credentials, Line
from commands.references import References
from events.log import EventLog

WINDOW: Final = 1000
"""A good number of lines for one call: few leases and commits, answers within a second."""

IdAt = Callable[[int], int]
"""An id of a Unix ms."""

Join = Callable[[Request, Credentials], Awaitable[Outcome]]
"""Registers somebody who can sign in; safe against a crash between account and log."""


class LineResult(msgspec.Struct, omit_defaults=True):
    """What came of one line; `status` as in HTTP, ids and positions as text."""

    key: str | None
    status: int
    id: str | UnsetType = UNSET
    position: str | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class _Keyed(msgspec.Struct):
    """What can be read of a line that is otherwise wrong."""

    key: str | None = None


class Imports:
    """Does lines of commands.

    `importing` opens a source of ids at given times; it is asked for once a call, and only where a
    line has a time.
    """

    def __init__(
        self,
        log: EventLog,
        handler: Handler,
        accounts: Accounts,
        join: Join,
        importing: Callable[[], AbstractContextManager[IdAt]],
    ) -> None:
        self._references = References(log)
        self._handler = handler
        self._accounts = accounts
        self._join = join
        self._importing = importing

    async def run(self, lines: Sequence[bytes]) -> list[LineResult]:
        """Do the lines, of which none is blank; what came of each, in order.

        Raises nothing that is expected: where the log, the accounts or the ids fail, the lines
        whose fate is unknown are answered with 503, and are safe to send again with their keys.
        """
        results: dict[int, LineResult] = {}
        todo: list[tuple[int, Line]] = []
        for index, raw in enumerate(lines):
            try:
                todo.append((index, parsing.parse(raw)))
            except Rejected as error:
                results[index] = _refused(_key_in(raw), error)
        try:
            async with self._ids_at([line for _, line in todo]) as timed:
                await self._do(todo, timed, results)
        except EXPECTED as error:
            for index, line in todo:
                results.setdefault(index, _refused(line.key, error))
        return [results[index] for index in range(len(lines))]

    async def _do(
        self, todo: list[tuple[int, Line]], timed: IdAt, results: dict[int, LineResult]
    ) -> None:
        """Ordinary lines in one batch; who gets an account to sign in with in their place."""
        together: list[tuple[int, Line]] = []
        joining = Joining()
        for index, line in todo:
            try:
                credentials = _credentials(line)
                request = credentials and parsing.request_of(line, timed, self._references)
            except Rejected as error:
                results[index] = _refused(line.key, error)
                continue
            if credentials and request:
                await self._batch(together, timed, results)
                if not joining.takes(request, credentials):
                    await self._register(joining, results)
                joining.add(index, line, request, credentials)
            else:
                await self._register(joining, results)
                together.append((index, line))
        await self._batch(together, timed, results)
        await self._register(joining, results)

    async def _batch(
        self, todo: list[tuple[int, Line]], timed: IdAt, results: dict[int, LineResult]
    ) -> None:
        if not todo:
            return
        requests: list[Request | Later] = [
            partial(parsing.request_of, line, timed) for _, line in todo
        ]
        came = await self._handler.handle_many(requests)
        for (index, line), outcome in zip(todo, came, strict=True):
            if isinstance(outcome, Rejected):
                results[index] = _refused(line.key, outcome)
                continue
            if line.command == "delete_account":
                # Also when it is repeated: the first time may have ended before this.
                await self._accounts.remove(outcome.id)
            results[index] = _done(line, outcome)
        todo.clear()

    async def _register(self, joining: Joining, results: dict[int, LineResult]) -> None:
        async def one(index: int, line: Line, request: Request, credentials: Credentials) -> None:
            try:
                results[index] = _done(line, await self._join(request, credentials))
            except EXPECTED as error:
                results[index] = _refused(line.key, error)

        await asyncio.gather(*(one(*each) for each in joining.people))
        joining.clear()

    @asynccontextmanager
    async def _ids_at(self, lines: list[Line]) -> AsyncIterator[IdAt]:
        if all(line.at is None for line in lines):
            yield _no_time
            return
        # Taking and giving back a lease waits for the disk.
        opened = self._importing()
        timed = await asyncio.to_thread(opened.__enter__)
        try:
            yield timed
        finally:
            await asyncio.to_thread(opened.__exit__, None, None, None)


def _no_time(unix_ms: int) -> int:
    raise AssertionError("no line has a time, so none can ask for an id of one")


def _credentials(line: Line) -> Credentials | None:
    """What a new account is to sign in with, if anything. Raises `Invalid`."""
    if line.command != "register":
        return None
    found = parsing.credentials_of(line)
    return found if found and (found.email or found.password) else None


def _key_in(raw: bytes) -> str | None:
    try:
        return msgspec.json.decode(raw, type=_Keyed).key
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # not even that can be read: the answer's place says which line it was


def _done(line: Line, outcome: Outcome) -> LineResult:
    status = 201 if CATALOG[line.command].makes else 200
    return LineResult(line.key, status, str(outcome.id), str(outcome.position))


def _refused(key: str | None, error: Exception) -> LineResult:
    refusal = refusal_of(error)
    return LineResult(key, refusal.status, problem=refusal.problem)
