"""Mail over TLS, to a server on this machine with certificates made for the occasion."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.accounts.mail_queue import Mail, MailFailed
from infra.smtp.mail_delivery import mail_delivery

SENDER = "Starling <starling@example.org>"
MAIL = Mail("ada@example.org", "Hello", "A link: http://test/#x\n")
_DAY = datetime.timedelta(days=1)


class Certificate(NamedTuple):
    """A certificate with its key, both PEM."""

    path: Path
    key: ec.EllipticCurvePrivateKey
    content: x509.Certificate

    @property
    def context(self) -> ssl.SSLContext:
        """For a server that shows it."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.path)
        return made


def make_certificate(
    path: Path, address: str = "127.0.0.1", issuer: Certificate | None = None, days: int = 1
) -> Certificate:
    """One for an address, until so many days from now; without an issuer it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.stem)])
    until = datetime.datetime.now(datetime.UTC) + days * _DAY
    content = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if issuer is None else issuer.content.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - 2 * _DAY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False
        )
        .sign(key if issuer is None else issuer.key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *form)
        + content.public_bytes(serialization.Encoding.PEM)
    )
    return Certificate(path, key, content)


class Certificates(NamedTuple):
    """Of an authority that this process trusts, and others."""

    good: Certificate
    elsewhere: Certificate
    expired: Certificate
    unknown: Certificate


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificates]:
    folder = tmp_path_factory.mktemp("certificates")
    authority = make_certificate(folder / "authority.pem")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority.path))
        yield Certificates(
            make_certificate(folder / "good.pem", issuer=authority),
            make_certificate(folder / "elsewhere.pem", "127.0.0.9", authority),
            make_certificate(folder / "expired.pem", issuer=authority, days=-1),
            make_certificate(folder / "unknown.pem"),
        )


class MailServer:
    """What a server was told."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bool]] = []
        self.signed_in: list[tuple[bytes, bytes]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        encrypted = server.transport.get_extra_info("ssl_object") is not None
        self.mails.append((str(envelope.mail_from), envelope.rcpt_tos, encrypted))
        return "250 OK"

    def sign_in(self, server: Any, session: Any, envelope: Any, how: Any, given: Any) -> AuthResult:
        self.signed_in.append((given.login, given.password))
        return AuthResult(success=given.password == b"p@ss", handled=False)


@asynccontextmanager
async def serving(
    scheme: str, certificate: Certificate | None
) -> AsyncIterator[tuple[MailServer, str]]:
    """A mail server and its address."""
    told = MailServer()
    context = None if certificate is None else certificate.context

    def serve() -> SMTP:
        return SMTP(
            told,
            hostname="localhost",
            tls_context=context if scheme == "smtp" else None,
            authenticator=told.sign_in,
            auth_require_tls=scheme == "smtp",
        )

    server = await asyncio.get_running_loop().create_server(
        serve, "127.0.0.1", 0, ssl=context if scheme == "smtps" else None
    )
    port = server.sockets[0].getsockname()[1]
    try:
        yield told, f"{scheme}://starling:p%40ss@127.0.0.1:{port}"
    finally:
        server.close()
        await server.wait_closed()


Deliver = Callable[[Mail], Awaitable[None]]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_mail_and_password_go_over_tls(scheme: str, certificates: Certificates) -> None:
    async with serving(scheme, certificates.good) as (told, address):
        await mail_delivery(address, SENDER)(MAIL)
    assert told.mails == [("starling@example.org", ["ada@example.org"], True)]
    assert told.signed_in == [(b"starling", b"p@ss")]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("unknown", "self-signed certificate"),
        ("elsewhere", "is not valid for '127.0.0.1'"),
        ("expired", "certificate has expired"),
    ],
)
async def test_a_wrong_certificate_is_refused_by_name_before_anything_is_said(
    scheme: str, wrong: str, reason: str, certificates: Certificates
) -> None:
    async with serving(scheme, getattr(certificates, wrong)) as (told, address):
        with pytest.raises(MailFailed) as failed:
            await mail_delivery(address, SENDER)(MAIL)
    message = str(failed.value)
    assert message.startswith("the certificate of the mail server is not accepted: ")
    assert reason in message
    assert "p@ss" not in message
    assert "ada@example.org" not in message
    assert not failed.value.final  # an operator may put the right one there
    assert (told.mails, told.signed_in) == ([], [])


async def test_a_server_without_tls_gets_nothing_unless_that_is_allowed(
    certificates: Certificates,
) -> None:
    async with serving("smtp", None) as (told, address):
        with pytest.raises(MailFailed, match=r"offers no TLS.*tls=false"):
            await mail_delivery(address, SENDER)(MAIL)
        assert (told.mails, told.signed_in) == ([], [])
        plain = address.replace("starling:p%40ss@", "") + "?tls=false"
        await mail_delivery(plain, SENDER)(MAIL)
    assert told.mails == [("starling@example.org", ["ada@example.org"], False)]


async def test_a_server_that_begins_without_tls_is_no_smtps_server() -> None:
    async with serving("smtp", None) as (told, address):
        with pytest.raises(MailFailed, match=r"the mail server failed: no TLS"):
            await mail_delivery(address.replace("smtp:", "smtps:"), SENDER)(MAIL)
    assert told.mails == []


async def test_a_wrong_password_is_said_by_its_code_alone(certificates: Certificates) -> None:
    async with serving("smtps", certificates.good) as (told, address):
        with pytest.raises(MailFailed, match=r"^the mail server answered 535$"):
            await mail_delivery(address.replace("p%40ss", "wrong"), SENDER)(MAIL)
    assert told.mails == []
