"""Which registrations of an import may go at the same time.

Each waits for the disk twice, for the account and for the log: together they share that wait.
"""

from typing import Final

from commands.import_line import Credentials, ImportLine
from commands.request import CommandRequest
from commands.user import Register

MAX_TOGETHER: Final = 64


class RegistrationBatch:
    """Registrations of which none meets another's handle, email or key."""

    def __init__(self) -> None:
        self.registrations: list[tuple[int, ImportLine, CommandRequest, Credentials]] = []
        self._taken_names: set[tuple[str, str]] = set()

    def can_add(self, request: CommandRequest, credentials: Credentials) -> bool:
        """Whether one more may go with the others."""
        names = _unique_names(request, credentials)
        return len(self.registrations) < MAX_TOGETHER and self._taken_names.isdisjoint(names)

    def add(
        self, index: int, line: ImportLine, request: CommandRequest, credentials: Credentials
    ) -> None:
        """Let one more go with the others."""
        self.registrations.append((index, line, request, credentials))
        self._taken_names |= _unique_names(request, credentials)

    def clear(self) -> None:
        """All of them are registered."""
        self.registrations.clear()
        self._taken_names.clear()


def _unique_names(request: CommandRequest, credentials: Credentials) -> set[tuple[str, str]]:
    command = request.command
    names = {("handle", command.handle.lower())} if isinstance(command, Register) else set()
    if credentials.email is not None:
        names.add(("email", credentials.email.casefold()))
    if request.key is not None:
        names.add(("key", request.key.name))
    return names
