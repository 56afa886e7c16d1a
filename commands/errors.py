"""Why a command was rejected. Each message says what to do about it.

CommandRejected
  InvalidInput       the command makes no sense, whatever the state: correct it
  NotFound           it names something that doesn't exist (any more)
  NotAllowed         this user may not do it
  StateConflict      it collides with what exists already: a taken handle, a used key
  WriteContention    other writers kept changing the same streams: try again
"""


class CommandRejected(Exception):
    """The command was rejected and nothing was written.

    `code` is a stable word for programs (`handle-taken`), the message a sentence for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class InvalidInput(CommandRejected):
    """The command makes no sense, whatever the state."""


class NotFound(CommandRejected):
    """The command names something that doesn't exist, or not any more."""


class NotAllowed(CommandRejected):
    """This user may not give the command."""


class StateConflict(CommandRejected):
    """The command collides with what exists already."""


class WriteContention(CommandRejected):
    """Other writers kept changing the same streams; the same command may succeed next time."""
