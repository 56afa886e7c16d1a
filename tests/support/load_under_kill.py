"""Load on processes that are killed: people over HTTP, and imports into the same log."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.support.retrying_client import RetryingClient
from tests.support.server_processes import Process, ServerProcesses

PEOPLE_COUNT = 16
LINES_PER_IMPORT = 1500
"""Posts of one import."""


class HttpLoad:
    """People who live, and others who join them; counts what they were answered."""

    def __init__(self, session: aiohttp.ClientSession, running: ServerProcesses) -> None:
        self.stop = asyncio.Event()
        self.posts: list[int] = []
        self._session = session
        self._url = running.url
        self._responses_missing = 0
        self._responses_arrived = asyncio.Event()
        self.people = [self._new_client(f"person_{n}") for n in range(PEOPLE_COUNT)]
        self.newcomers: list[RetryingClient] = []
        """Who joined while the load was under way."""

    def _new_client(self, handle: str) -> RetryingClient:
        return RetryingClient(self._session, self._url, handle, self._count_response)

    async def _register_newcomers(self) -> None:
        while not self.stop.is_set():
            newcomer = self._new_client(f"newcomer_{len(self.newcomers)}")
            answer = await newcomer.register()
            assert answer.status == 201, answer
            self.newcomers.append(newcomer)

    def _count_response(self) -> None:
        self._responses_missing -= 1
        if self._responses_missing <= 0:
            self._responses_arrived.set()

    async def wait_for_responses(self, count: int) -> None:
        """Wait until people got so many more answers."""
        self._responses_missing = count
        self._responses_arrived.clear()
        await asyncio.wait_for(self._responses_arrived.wait(), 60)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """People live for as long as the block runs; every request is answered at the end."""
        ids = [person.id for person in self.people]
        living = [
            asyncio.create_task(person.act_randomly(self.posts, ids, self.stop))
            for person in self.people
        ]
        living.append(asyncio.create_task(self._register_newcomers()))
        try:
            yield
        finally:
            self.stop.set()
            await asyncio.gather(*living)


class RestartedImporter:
    """Imports one file after the other; a killed import is started again."""

    def __init__(self, running: ServerProcesses, folder: Path) -> None:
        self._running = running
        self._folder = folder
        self._process: Process | None = None
        self._number = 0
        self.acknowledged_texts: list[str] = []
        """Of every line that some import was answered."""

    async def run(self, stop: asyncio.Event) -> None:
        """Import until `stop` is set, the last file to its end."""
        while not stop.is_set():
            self._number += 1
            lines = self._write_lines()
            answers = self._folder / f"answers-{self._number}"
            while True:
                self._process = await self._running.start_import(lines, answers)
                if await self._process.wait() == 0:
                    break
                assert self._process.returncode == -9, answers.read_text()
            results = [json.loads(line) for line in answers.read_bytes().splitlines()]
            assert {answer["status"] for answer in results} == {201}
            self.acknowledged_texts += (
                f"import {self._number} says {n}" for n in range(LINES_PER_IMPORT)
            )

    async def kill_current(self) -> None:
        """Kill the import that runs now."""
        if self._process is not None:
            await self._running.kill(self._process)

    def _write_lines(self) -> Path:
        who = f"import_{self._number}"
        data = {"handle": who, "name": who}
        lines = [{"command": "register", "key": who, "data": data}]
        lines += (
            {"command": "post", "as": f"@{who}", "key": f"{who} {n}",
             "data": {"text": f"import {self._number} says {n}"}}
            for n in range(LINES_PER_IMPORT)
        )  # fmt: skip
        path = self._folder / f"lines-{self._number}"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path
