"""Which registrations of an import may go at the same time.

Each waits for the disk twice, for the account and for the log: together they share that wait.
"""

from typing import Final

from commands.handle import Request
from commands.lines import Credentials, Line
from commands.user import Register

AT_ONCE: Final = 64


class Joining:
    """Registrations of which none meets another's handle, email or key."""

    def __init__(self) -> None:
        self.people: list[tuple[int, Line, Request, Credentials]] = []
        self._names: set[tuple[str, str]] = set()

    def takes(self, request: Request, credentials: Credentials) -> bool:
        """Whether one more may go with the others."""
        names = _names(request, credentials)
        return len(self.people) < AT_ONCE and self._names.isdisjoint(names)

    def add(self, index: int, line: Line, request: Request, credentials: Credentials) -> None:
        """Let one more go with the others."""
        self.people.append((index, line, request, credentials))
        self._names |= _names(request, credentials)

    def clear(self) -> None:
        """All of them are registered."""
        self.people.clear()
        self._names.clear()


def _names(request: Request, credentials: Credentials) -> set[tuple[str, str]]:
    command = request.command
    names = {("handle", command.handle.lower())} if isinstance(command, Register) else set()
    if credentials.email is not None:
        names.add(("email", credentials.email.casefold()))
    if request.key is not None:
        names.add(("key", request.key.name))
    return names
