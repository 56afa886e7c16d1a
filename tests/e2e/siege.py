"""Load on processes that are killed: people over HTTP, and imports into the same log."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.insistence import Person
from tests.processes import Process, Processes

PEOPLE = 16
LINES = 1500
"""Posts of one import."""


class Load:
    """People who live, and others who join them; counts what they were answered."""

    def __init__(self, session: aiohttp.ClientSession, running: Processes) -> None:
        self.stop = asyncio.Event()
        self.posts: list[int] = []
        self._session = session
        self._url = running.url
        self._missing = 0
        self._enough = asyncio.Event()
        self.people = [self._person(f"person_{n}") for n in range(PEOPLE)]
        self.newcomers: list[Person] = []
        """Who joined while the load was under way."""

    def _person(self, handle: str) -> Person:
        return Person(self._session, self._url, handle, self._answered)

    async def _join(self) -> None:
        while not self.stop.is_set():
            newcomer = self._person(f"newcomer_{len(self.newcomers)}")
            answer = await newcomer.join()
            assert answer.status == 201, answer
            self.newcomers.append(newcomer)

    def _answered(self) -> None:
        self._missing -= 1
        if self._missing <= 0:
            self._enough.set()

    async def more_answers(self, count: int) -> None:
        """Wait until people got so many more answers."""
        self._missing = count
        self._enough.clear()
        await asyncio.wait_for(self._enough.wait(), 60)

    @asynccontextmanager
    async def under_way(self) -> AsyncIterator[None]:
        """People live for as long as the block runs; every request is answered at the end."""
        ids = [person.id for person in self.people]
        living = [
            asyncio.create_task(person.live(self.posts, ids, self.stop)) for person in self.people
        ]
        living.append(asyncio.create_task(self._join()))
        try:
            yield
        finally:
            self.stop.set()
            await asyncio.gather(*living)


class Importer:
    """Imports one file after the other; a killed import is started again."""

    def __init__(self, running: Processes, folder: Path) -> None:
        self._running = running
        self._folder = folder
        self._process: Process | None = None
        self._number = 0
        self.texts: list[str] = []
        """Of every line that some import was answered."""

    async def run(self, stop: asyncio.Event) -> None:
        """Import until `stop` is set, the last file to its end."""
        while not stop.is_set():
            self._number += 1
            lines = self._write()
            answers = self._folder / f"answers-{self._number}"
            while True:
                self._process = await self._running.importing(lines, answers)
                if await self._process.wait() == 0:
                    break
                assert self._process.returncode == -9, answers.read_text()
            told = [json.loads(line) for line in answers.read_bytes().splitlines()]
            assert {answer["status"] for answer in told} == {201}
            self.texts += (f"import {self._number} says {n}" for n in range(LINES))

    async def kill(self) -> None:
        """Kill the import that runs now."""
        if self._process is not None:
            await self._running.kill(self._process)

    def _write(self) -> Path:
        who = f"import_{self._number}"
        data = {"handle": who, "name": who}
        lines = [{"command": "register", "key": who, "data": data}]
        lines += (
            {"command": "post", "as": f"@{who}", "key": f"{who} {n}",
             "data": {"text": f"import {self._number} says {n}"}}
            for n in range(LINES)
        )  # fmt: skip
        path = self._folder / f"lines-{self._number}"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path
