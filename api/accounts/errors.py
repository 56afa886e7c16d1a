"""Why an account can't be made, used or changed.

The command line shows these errors as they are; `api.http.errors` gives each a status and the code
of a problem.
"""


class AccountError(Exception):
    """An account can't be used in this way; the message says what to do.

    AccountError
      EmailTaken            another account has this email address
      WrongCredentials      no account has this handle and this password
      WrongCurrentPassword  changing email or password needs the password that holds now
      TooManyTries          too many wrong passwords came from one address, or for one account
      TooManyHashes         too many passwords wait to be hashed; try again
      CallerLeft            the client disconnected while its password waited to be hashed
      AccountDeleted        the account was deleted
      AccountUnknown        the log has no such account
      InvalidToken          an access token that is forged, mangled or of another version
        ExpiredToken        an access token that was good
      LinkInvalid           a link was used, is too old, or is not whole
      MailNotSetUp          this server sends no mail
      MailBusy              too many mails wait to be sent; try again
      AccountsUnavailable   the account store can't be read or written; try again
    """


class EmailTaken(AccountError):
    """Another account has this email address (upper and lower case are the same)."""


class WrongCredentials(AccountError):
    """No account has this handle and this password."""


class WrongCurrentPassword(AccountError):
    """The current password, which a change of email or password needs, is another one."""


class TooManyTries(AccountError):
    """Too many wrong passwords were tried; wait for `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many failed tries to sign in: wait {seconds} seconds and try again")
        self.seconds = seconds


class TooManyHashes(AccountError):
    """Too many passwords wait to be hashed or checked."""


class CallerLeft(AccountError):
    """The client disconnected before its password was looked at."""


class AccountDeleted(AccountError):
    """The account was deleted."""


class AccountUnknown(AccountError):
    """The log has no such account, or not any more."""


class InvalidToken(AccountError):
    """An access token that can't be read."""


class ExpiredToken(InvalidToken):
    """An access token whose time is over."""


class LinkInvalid(AccountError):
    """A link that resets a password or verifies an address is not good (any more)."""

    def __init__(self) -> None:
        super().__init__("this link was used, is too old or is not whole: ask for another one")


class MailNotSetUp(AccountError):
    """This server sends no mail."""

    def __init__(self) -> None:
        super().__init__(
            "this server sends no mail: its operator can give you a link (`starling account-link`)"
        )


class MailBusy(AccountError):
    """Too many mails wait to be sent."""

    def __init__(self) -> None:
        super().__init__("too many mails wait to be sent: try again in a minute")


class AccountsUnavailable(AccountError):
    """The accounts can't be read or written now."""
