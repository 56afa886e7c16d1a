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

from events.log import AppendResult, IdTaken, LogUnavailable
from infra.process.file_locks import FairFileLock
from infra.sqlite.log_batch import AppendOutcome, EncodedAppend, commit_appends
from infra.sqlite.log_schema import log_unavailable, open_for_writing

LARGEST_BATCH: Final = 1024
"""Appends of one commit; bounds how long a commit takes."""

OutcomeOrError = AppendOutcome | Exception


class PendingAppends:
    """Appends of one event loop that wait, and the futures that will tell it what came of them."""

    __slots__ = ("appends", "futures", "loop")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.appends: list[EncodedAppend] = []
        self.futures: list[Future[AppendResult]] = []

    def split_first(self, most: int) -> "PendingAppends":
        """The first `most` of them, as a tray of their own."""
        taken = PendingAppends(self.loop)
        taken.appends, self.appends = self.appends[:most], self.appends[most:]
        taken.futures, self.futures = self.futures[:most], self.futures[most:]
        return taken


class GroupCommitWriter:
    """Owns the thread, the turns between processes and the connection that writes.

    `committed` is called in the thread after each commit that wrote something.
    """

    def __init__(self, path: Path, committed: Callable[[], None]) -> None:
        """Opens the file, makes it where there is none. Raises `sqlite3.Error`, `OSError`."""
        self._path = path
        self._on_commit = committed
        self._of_thread = threading.local()  # .tray: the one of the thread's event loop
        self._lock = threading.Lock()  # over all trays, and:
        self._pending: deque[PendingAppends] = deque()
        self._closed = False
        self._wake_queue: SimpleQueue[None] = SimpleQueue()
        self._process_lock = FairFileLock(path)
        try:
            with self._process_lock.acquire():
                self._connection: sqlite3.Connection | None = open_for_writing(path)
        except BaseException:
            self._process_lock.close()
            raise
        self._thread = threading.Thread(
            target=self._commit_until_closed, name="log writer", daemon=True
        )
        self._thread.start()

    def submit(self, asked: EncodedAppend) -> "Future[AppendResult]":
        """Hand an append over; called on the thread of a running event loop."""
        loop = asyncio.get_running_loop()
        tray: PendingAppends | None = getattr(self._of_thread, "tray", None)
        if tray is None or tray.loop is not loop:
            tray = self._of_thread.tray = PendingAppends(loop)
        future: Future[AppendResult] = loop.create_future()
        with self._lock:
            if self._closed:
                raise LogUnavailable(f"the log {self._path} is closed")
            if not tray.appends:
                self._pending.append(tray)
                # The bell rings after this round of the loop: what it submits shares a commit.
                loop.call_soon(self._wake_queue.put, None)
            tray.appends.append(asked)
            tray.futures.append(future)
        return future

    def close(self) -> None:
        """Commit what waits, then stop the thread. Harmless the second time."""
        with self._lock:
            first, self._closed = not self._closed, True
        if first:
            self._wake_queue.put(None)
            self._thread.join()
            self._close_connection()
            self._process_lock.close()

    def _commit_until_closed(self) -> None:
        while not self._closed:
            self._wake_queue.get()
            while trays := self._next_pending():
                outcomes = self._commit_batch([asked for tray in trays for asked in tray.appends])
                _deliver_outcomes(trays, outcomes)
                if any(isinstance(o, AppendResult) and not o.replayed for o in outcomes):
                    self._on_commit()

    def _next_pending(self) -> list[PendingAppends]:
        taken: list[PendingAppends] = []
        room = LARGEST_BATCH
        with self._lock:
            while self._pending and room:
                taken.append(self._pending[0].split_first(room))
                room -= len(taken[-1].appends)
                if not self._pending[0].appends:
                    self._pending.popleft()
        return taken

    def _commit_batch(self, batch: Sequence[EncodedAppend]) -> Sequence[OutcomeOrError]:
        """What came of each append of the batch. Whatever goes wrong, somebody waits for it."""
        try:
            with self._process_lock.acquire():
                if self._connection is None:
                    self._connection = open_for_writing(self._path)
                return commit_appends(self._connection, batch)
        except Exception as error:  # noqa: BLE001 - it is raised where the append is awaited
            if _is_file_error(error):
                self._close_connection()
                return [log_unavailable(self._path, error) for _ in batch]
            if len(batch) > 1:  # an append that can't be stored must not hurt its neighbours
                return [given for asked in batch for given in self._commit_batch([asked])]
            if isinstance(error, sqlite3.IntegrityError) and "events.id" in str(error):
                return [IdTaken(tuple(row[0] for row in batch[0].rows))]
            return [error]

    def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _is_file_error(error: Exception) -> bool:
    """Not of what was to be written: an id that is there, a number beyond 64 bits."""
    content = sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError
    if isinstance(error, content):
        return False
    return isinstance(error, sqlite3.DatabaseError | OSError)


def _deliver_outcomes(trays: Sequence[PendingAppends], outcomes: Sequence[OutcomeOrError]) -> None:
    """Wake all who wait, with one call into each event loop."""
    start = 0
    for tray in trays:
        end = start + len(tray.futures)
        try:
            tray.loop.call_soon_threadsafe(_resolve_futures, tray.futures, outcomes[start:end])
        except RuntimeError:
            if not tray.loop.is_closed():  # in a closed loop nobody waits any more
                raise
        start = end


def _resolve_futures(
    futures: "Sequence[Future[AppendResult]]", outcomes: Sequence[OutcomeOrError]
) -> None:
    for future, outcome in zip(futures, outcomes, strict=True):
        if future.done():  # its task was cancelled meanwhile; the append stands
            continue
        if isinstance(outcome, AppendResult):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
