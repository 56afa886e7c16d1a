"""The one thread of a process that writes to a SQLite log.

Group commit: the thread takes every append that waits, commits them together with one fsync, and
gives each its outcome. While it commits, the next ones gather; under load the commits grow and
their cost is shared, without any delay when it is quiet.
"""

import asyncio
import sqlite3
import threading
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from events.log import Appended, IdTaken, LogUnavailable
from infra.logs.sqlite_batch import Asked, Outcome, write
from infra.logs.sqlite_schema import open_for_writing, refusal
from infra.turns import Turns

LARGEST_BATCH: Final = 1024
"""Appends of one commit; bounds how long a commit takes."""

Given = Outcome | Exception


class Tray:
    """Appends of one event loop that wait, and the futures that will tell it what came of them."""

    __slots__ = ("asked", "futures", "loop")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.asked: list[Asked] = []
        self.futures: list[Future[Appended]] = []

    def take(self, most: int) -> "Tray":
        """The first `most` of them, as a tray of their own."""
        taken = Tray(self.loop)
        taken.asked, self.asked = self.asked[:most], self.asked[most:]
        taken.futures, self.futures = self.futures[:most], self.futures[most:]
        return taken


class Writer:
    """Owns the thread, the turns between processes and the connection that writes.

    `committed` is called in the thread after each commit that wrote something.
    """

    def __init__(self, path: Path, committed: Callable[[], None]) -> None:
        """Opens the file, makes it where there is none. Raises `sqlite3.Error`, `OSError`."""
        self._path = path
        self._committed = committed
        self._own = threading.local()  # .tray: the one of the thread's event loop
        self._lock = threading.Lock()  # over all trays, and:
        self._full: deque[Tray] = deque()
        self._closed = False
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._turns = Turns(path)
        try:
            with self._turns.take():
                self._connection: sqlite3.Connection | None = open_for_writing(path)
        except BaseException:
            self._turns.close()
            raise
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def submit(self, asked: Asked) -> "Future[Appended]":
        """Hand an append over; called on the thread of a running event loop."""
        loop = asyncio.get_running_loop()
        tray: Tray | None = getattr(self._own, "tray", None)
        if tray is None or tray.loop is not loop:
            tray = self._own.tray = Tray(loop)
        future: Future[Appended] = loop.create_future()
        with self._lock:
            if self._closed:
                raise LogUnavailable(f"the log {self._path} is closed")
            if not tray.asked:
                self._full.append(tray)
                # The bell rings after this round of the loop: what it submits shares a commit.
                loop.call_soon(self._bell.put, None)
            tray.asked.append(asked)
            tray.futures.append(future)
        return future

    def close(self) -> None:
        """Commit what waits, then stop the thread. Harmless the second time."""
        with self._lock:
            first, self._closed = not self._closed, True
        if first:
            self._bell.put(None)
            self._thread.join()
            self._disconnect()
            self._turns.close()

    def _run(self) -> None:
        while not self._closed:
            self._bell.get()
            while trays := self._take():
                outcomes = self._commit([asked for tray in trays for asked in tray.asked])
                _deliver(trays, outcomes)
                if any(isinstance(o, Appended) and not o.repeated for o in outcomes):
                    self._committed()

    def _take(self) -> list[Tray]:
        taken: list[Tray] = []
        room = LARGEST_BATCH
        with self._lock:
            while self._full and room:
                taken.append(self._full[0].take(room))
                room -= len(taken[-1].asked)
                if not self._full[0].asked:
                    self._full.popleft()
        return taken

    def _commit(self, batch: Sequence[Asked]) -> Sequence[Given]:
        """What came of each append of the batch. Whatever goes wrong, somebody waits for it."""
        try:
            with self._turns.take():
                if self._connection is None:
                    self._connection = open_for_writing(self._path)
                return write(self._connection, batch)
        except Exception as error:  # noqa: BLE001 - it is raised where the append is awaited
            if _is_of_the_file(error):
                self._disconnect()
                return [refusal(self._path, error) for _ in batch]
            if len(batch) > 1:  # an append that can't be stored must not hurt its neighbours
                return [given for asked in batch for given in self._commit([asked])]
            if isinstance(error, sqlite3.IntegrityError) and "events.id" in str(error):
                return [IdTaken(tuple(row[0] for row in batch[0].rows))]
            return [error]

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _is_of_the_file(error: Exception) -> bool:
    """Not of what was to be written: an id that is there, a number beyond 64 bits."""
    content = sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError
    if isinstance(error, content):
        return False
    return isinstance(error, sqlite3.DatabaseError | OSError)


def _deliver(trays: Sequence[Tray], outcomes: Sequence[Given]) -> None:
    """Wake all who wait, with one call into each event loop."""
    start = 0
    for tray in trays:
        end = start + len(tray.futures)
        try:
            tray.loop.call_soon_threadsafe(_resolve, tray.futures, outcomes[start:end])
        except RuntimeError:
            if not tray.loop.is_closed():  # in a closed loop nobody waits any more
                raise
        start = end


def _resolve(futures: "Sequence[Future[Appended]]", outcomes: Sequence[Given]) -> None:
    for future, outcome in zip(futures, outcomes, strict=True):
        if future.done():  # its task was cancelled meanwhile; the append stands
            continue
        if isinstance(outcome, Appended):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
