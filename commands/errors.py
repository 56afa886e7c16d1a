"""Why a command was not done. Each message says what to do about it.

Rejected
  Invalid          the command makes no sense, whatever the state: mend it
  NotFound         what it speaks of doesn't exist (any more)
  NotAllowed       it isn't this user's to do
  Conflict         it collides with what is already there: a taken handle, a used key
  Contended        others wrote the same streams too often meanwhile: try again
"""


class CommandRejected(Exception):
    """The command was refused and nothing was written.

    `code` is a stable word for programs (`handle-taken`), the message a sentence for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class InvalidInput(CommandRejected):
    """The command makes no sense, whatever the state."""


class NotFound(CommandRejected):
    """What the command speaks of doesn't exist, or not any more."""


class NotAllowed(CommandRejected):
    """The command isn't this user's to give."""


class StateConflict(CommandRejected):
    """The command collides with what is already there."""


class WriteContention(CommandRejected):
    """Others wrote the same streams too often meanwhile; the same command may succeed next time."""
