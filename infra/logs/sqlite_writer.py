"""The one thread of a process that writes to a SQLite log.

Group commit: the thread takes every append that waits, commits them together with one fsync, and
gives each its outcome. While it commits, the next ones gather; under load the commits grow and
their cost is shared, without any delay when it is quiet.
"""

import asyncio
import sqlite3
import threading
from asyncio import AbstractEventLoop, Future
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple

from events.log import Appended, IdTaken, LogUnavailable
from infra.logs.sqlite_batch import Asked, Outcome, write
from infra.logs.sqlite_schema import open_for_writing, refusal
from infra.turns import Turns

LARGEST_BATCH: Final = 1024
"""Appends of one commit; bounds how long a commit takes."""

Given = Outcome | Exception


class Waiting(NamedTuple):
    """An append, and who wants to know what came of it."""

    loop: AbstractEventLoop
    future: "Future[Appended]"
    asked: Asked


class Writer:
    """Owns the thread, the turns between processes and the connection that writes.

    `committed` is called in the thread after each commit that wrote something.
    """

    def __init__(self, path: Path, committed: Callable[[], None]) -> None:
        """Opens the file, makes it where there is none. Raises `sqlite3.Error`, `OSError`."""
        self._path = path
        self._committed = committed
        self._waiting: deque[Waiting] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rung = threading.local()
        self._lock = threading.Lock()
        self._closed = False
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
        future: Future[Appended] = loop.create_future()
        with self._lock:
            if self._closed:
                raise LogUnavailable(f"the log {self._path} is closed")
            self._waiting.append(Waiting(loop, future, asked))
        # The bell rings once for all that this round of the loop submits: they share a commit.
        if getattr(self._rung, "by", None) is not loop:
            self._rung.by = loop
            loop.call_soon(self._ring)
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

    def _ring(self) -> None:
        self._rung.by = None
        self._bell.put(None)

    def _run(self) -> None:
        while True:
            self._bell.get()
            while self._waiting:
                count = min(len(self._waiting), LARGEST_BATCH)
                batch = [self._waiting.popleft() for _ in range(count)]
                outcomes = self._commit([waiting.asked for waiting in batch])
                _deliver(batch, outcomes)
                if any(isinstance(o, Appended) and not o.repeated for o in outcomes):
                    self._committed()
            with self._lock:
                if self._closed and not self._waiting:
                    return

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


def _deliver(batch: Sequence[Waiting], outcomes: Sequence[Given]) -> None:
    """Wake all who wait, with one call into each event loop."""
    by_loop: defaultdict[AbstractEventLoop, list[tuple[Future[Appended], Given]]]
    by_loop = defaultdict(list)
    for waiting, outcome in zip(batch, outcomes, strict=True):
        by_loop[waiting.loop].append((waiting.future, outcome))
    for loop, results in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, results)
        except RuntimeError:
            if not loop.is_closed():  # in a closed loop nobody waits any more
                raise


def _resolve(results: list[tuple["Future[Appended]", Given]]) -> None:
    for future, outcome in results:
        if future.done():  # its task was cancelled meanwhile; the append stands
            continue
        if isinstance(outcome, Appended):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
