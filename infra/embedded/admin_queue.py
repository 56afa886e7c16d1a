"""Orders to the running projector, which alone may write the views: pause, replay, switch, ...

An order is a file in `data/admin/`; the projector takes them between batches and writes the answer
beside it. So an order that was given is carried out once the projector has time for it, or starts
again, even if whoever gave it is gone; all of them may be carried out twice.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from infra.files.atomic_write import write_atomically
from infra.process.notifications import ProcessNotifier
from streams.rebuild.admin import AdminCommand, AdminResult

ADMIN_TOPIC: Final = "admin"
"""The bell of those who wait for answers."""


class AdminQueue:
    """The orders of a data folder."""

    def __init__(self, data: Path, wakeups: ProcessNotifier) -> None:
        self._folder = data / "admin"
        self._notifier = wakeups

    async def send_command(self, order: AdminCommand, timeout: float) -> AdminResult | None:
        """Have an order carried out; None where no answer comes within `timeout` seconds.

        Then the order is taken back, unless it is being carried out just now.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{time.time_ns()}-{secrets.token_hex(4)}.command"
        write_atomically(path, msgspec.json.encode(order))
        answer = path.with_suffix(".result")
        try:
            if await self._notifier.wait_until(ADMIN_TOPIC, answer.exists, timeout):
                return msgspec.json.decode(answer.read_bytes(), type=AdminResult)
            return None
        finally:
            for left in (path, answer):
                left.unlink(missing_ok=True)

    def pending_commands(self) -> Iterator[tuple[AdminCommand, Callable[[AdminResult], None]]]:
        """For the projector: each order that was given, oldest first, and how to answer it."""
        try:
            names = sorted(n for n in os.listdir(self._folder) if n.endswith(".command"))
        except FileNotFoundError:
            return
        for name in names:
            path = self._folder / name
            try:
                order = msgspec.json.decode(path.read_bytes(), type=AdminCommand)
            except FileNotFoundError:
                continue  # taken back
            yield order, lambda reply, path=path: self._write_result(path, reply)  # type: ignore[misc]

    def _write_result(self, path: Path, reply: AdminResult) -> None:
        write_atomically(path.with_suffix(".result"), msgspec.json.encode(reply))
        path.unlink(missing_ok=True)
        self._notifier.notify(ADMIN_TOPIC)

    def remove_unclaimed(self) -> None:
        """Remove answers for which nobody waits any more, when a projector starts."""
        if self._folder.is_dir():
            for left in self._folder.glob("*.result"):
                left.unlink(missing_ok=True)
