"""Hands mails to the mail server of an operator, by `aiosmtplib`.

`smtp://` asks the server for TLS before anything is said (STARTTLS) and goes no further without,
unless the address ends in `?tls=false`; `smtps://` begins with TLS. Certificates are checked.
"""

from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from ssl import SSLCertVerificationError, SSLError
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from aiosmtplib import (
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
    send,
)

from api.accounts.mail_queue import DeliverMail, Mail, MailFailed

SECONDS: Final = 15.0
"""For each step of a conversation with the server."""

_PORTS: Final = {"smtp": 587, "smtps": 465}


def mail_delivery(address: str, sender: str) -> DeliverMail:
    """Sends from `sender` through the server of an address such as
    `smtp://user:password@mail.example.org:587`."""
    parts = urlsplit(address)
    begins_with_tls = parts.scheme == "smtps"
    plain = parse_qs(parts.query).get("tls") == ["false"]
    own_address = parseaddr(sender)[1]
    options: dict[str, Any] = {
        "hostname": parts.hostname,
        "port": parts.port or _PORTS[parts.scheme],
        "username": _decoded(parts.username),
        "password": _decoded(parts.password),
        "use_tls": begins_with_tls,
        "start_tls": not begins_with_tls and not plain,
        "timeout": SECONDS,
    }

    async def deliver(mail: Mail) -> None:
        try:
            message = _message(mail, sender)
            await send(message, sender=own_address, recipients=[mail.to], **options)
        except SMTPRecipientsRefused as error:
            raise _refusal(error.recipients[0].code) from None
        except SMTPResponseException as error:
            raise _refusal(error.code) from None
        except SMTPNotSupported:
            raise MailFailed("the mail server lacks what this mail needs", final=True) from None
        except (SMTPException, OSError, ValueError) as error:
            raise MailFailed(_explain(error)) from None

    return deliver


def _refusal(code: int) -> MailFailed:
    """The code alone: the server's text repeats addresses."""
    return MailFailed(f"the mail server answered {code}", final=code >= 500)


def _explain(error: BaseException) -> str:
    """What is wrong, in words that hold no address of a user's."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, SSLCertVerificationError):
            return f"the certificate of the mail server is not accepted: {found.verify_message}"
        if isinstance(found, SSLError):
            return f"the mail server failed: no TLS with it ({found.reason})"
        found = found.__cause__
    if type(error) is SMTPException and "STARTTLS" in str(error):
        return "the mail server offers no TLS: see STARLING_SMTP about ?tls=false"
    return f"the mail server failed: {type(error).__name__}"


def _message(mail: Mail, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, mail.to, mail.subject
    domain = parseaddr(sender)[1].rpartition("@")[2]
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=domain)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text, cte="7bit")  # no link is broken over lines
    return message


def _decoded(text: str | None) -> str | None:
    return None if text is None else unquote(text)
