"""What links of accounts are signed with, and the mail server that the settings name."""

from api.accounts.link_tokens import LinkTokens
from api.accounts.recovery import RecoveryMail
from infra.process.clock import clock_ms
from infra.settings import InvalidSetting, Settings


def open_recovery_mail(settings: Settings, secret: bytes) -> RecoveryMail:
    """`secret` signs the links. Raises `InvalidSetting` where mails would have no sender."""
    links = LinkTokens(secret, clock_ms)
    if settings.smtp is None:
        return RecoveryMail(links)
    if settings.mail_from is None:
        raise InvalidSetting(
            "STARLING_SMTP is set, so STARLING_MAIL_FROM must name the sender of mails, such as "
            "'Starling <starling@example.org>'"
        )
    from infra.smtp.mail_delivery import mail_delivery

    return RecoveryMail(links, mail_delivery(settings.smtp, settings.mail_from))
