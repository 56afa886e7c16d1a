"""Why a command was not done. Each message says what to do about it.

Rejected
  Invalid          the command makes no sense, whatever the state: mend it
  NotFound         what it speaks of doesn't exist (any more)
  NotAllowed       it isn't this user's to do
  Conflict         it collides with what is already there: a taken handle, a used key
  Contended        others wrote the same streams too often meanwhile: try again
"""


class Rejected(Exception):
    """The command was refused and nothing was written.

    `code` is a stable word for programs (`handle-taken`), the message a sentence for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Invalid(Rejected):
    """The command makes no sense, whatever the state."""


class NotFound(Rejected):
    """What the command speaks of doesn't exist, or not any more."""


class NotAllowed(Rejected):
    """The command isn't this user's to give."""


class Conflict(Rejected):
    """The command collides with what is already there."""


class Contended(Rejected):
    """Others wrote the same streams too often meanwhile; the same command may succeed next time."""
