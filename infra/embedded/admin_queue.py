"""Commands of operators on their way to the projector, which alone may write the views.

A command is a file in `data/admin/`, written by an API process or the command line. The projector
executes commands between batches and writes each result beside its command. So a command is
executed once the projector has time for it, or starts again, even if the process that sent it is
gone. Each must do no harm when it is executed twice.
"""

import logging
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
"""What processes subscribe to that wait for results."""


_logger = logging.getLogger(__name__)


class AdminQueue:
    """The commands of a data folder."""

    def __init__(self, data: Path, notifier: ProcessNotifier) -> None:
        self._folder = data / "admin"
        self._notifier = notifier

    async def send_command(self, command: AdminCommand, timeout: float) -> AdminResult | None:
        """Have the projector execute a command; None if there is no result within `timeout` s.

        Then the command is withdrawn, unless it is being executed just now.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{time.time_ns()}-{secrets.token_hex(4)}.command"
        write_atomically(path, msgspec.json.encode(command))
        result = path.with_suffix(".result")
        try:
            if await self._notifier.wait_until(ADMIN_TOPIC, result.exists, timeout):
                return msgspec.json.decode(result.read_bytes(), type=AdminResult)
            return None
        finally:
            for file in (path, result):
                file.unlink(missing_ok=True)

    def pending_commands(self) -> Iterator[tuple[AdminCommand, Callable[[AdminResult], None]]]:
        """For the projector: each command, oldest first, and a function for its result."""
        try:
            names = sorted(n for n in os.listdir(self._folder) if n.endswith(".command"))
        except FileNotFoundError:
            return
        for name in names:
            path = self._folder / name
            try:
                command = msgspec.json.decode(path.read_bytes(), type=AdminCommand)
            except FileNotFoundError:
                continue  # withdrawn
            except msgspec.DecodeError as error:
                _logger.warning("%s is no command and is removed: %s", path, error)
                path.unlink(missing_ok=True)
                continue
            yield command, lambda result, path=path: self._write_result(path, result)  # type: ignore[misc]

    def _write_result(self, path: Path, result: AdminResult) -> None:
        write_atomically(path.with_suffix(".result"), msgspec.json.encode(result))
        path.unlink(missing_ok=True)
        self._notifier.notify(ADMIN_TOPIC)

    def remove_unclaimed(self) -> None:
        """For a projector that starts: remove results whose senders stopped waiting.

        Raises `OSError` where there can be no commands.
        """
        self._folder.mkdir(exist_ok=True)
        for file in self._folder.glob("*.result"):
            file.unlink(missing_ok=True)
