"""Forgotten passwords and email addresses, with a mail server on this machine."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.smtp import SMTP, Envelope
from click.testing import CliRunner

from api.accounts.link_tokens import LinkPurpose, LinkTokens, read_claims
from api.accounts.mail_queue import Mail, MailFailed
from api.accounts.passwords import BoundedPasswordHasher
from api.accounts.registration import AccountRegistrar
from commands.import_line import Credentials
from commands.request import CommandRequest
from commands.user import Register
from infra.cli.main import main
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.smtp.mail_delivery import mail_delivery
from infra.wiring.signing_secret import signing_secret
from infra.wiring.write_side import open_write_side
from tests.e2e.test_mastodon_sign_up import client_of_app, sign_up
from tests.support.api_world import PASSWORD, ApiWorld, SignedInUser, register_user
from tests.support.waiting import PATIENCE_SECONDS

RENEWED = "battery staple"
HOUR = 60 * 60
_LINK = re.compile(r"http://test/account#(reset|verify)=(\S+)")


class Mailbox:
    """Takes mails, after it refused as many as it was told to."""

    def __init__(self) -> None:
        self.mails: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.refusals: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        if self.refusals:
            return self.refusals.pop()
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert mail["From"] == "Starling <starling@example.org>"
        assert [mail["To"]] == envelope.rcpt_tos
        self.mails.put_nowait((mail["To"], mail.get_content()))
        return "250 OK"

    async def next_link(self, to: str, purpose: str) -> str:
        """The token of the next mail."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            addressee, text = await self.mails.get()
        (found,) = _LINK.findall(text)
        assert (addressee, found[0]) == (to, purpose)
        return str(found[1])


@pytest.fixture
async def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
async def world(mailbox: Mailbox) -> AsyncIterator[ApiWorld]:
    def serve() -> SMTP:
        return SMTP(mailbox, enable_SMTPUTF8=True, hostname="localhost")

    server = await asyncio.get_running_loop().create_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    deliver = mail_delivery(f"smtp://127.0.0.1:{port}?tls=false", "Starling <starling@example.org>")
    made = ApiWorld(deliver_mail=deliver)
    yield made
    await made.app.state.api.recovery.aclose()
    server.close()


async def register(world: ApiWorld, mailbox: Mailbox, handle: str) -> SignedInUser:
    """Register, and take the mail that every new account is sent."""
    user = await register_user(world, handle)
    await mailbox.next_link(f"{handle}@example.org", "verify")
    return user


async def post(world: ApiWorld, path: str, **body: str) -> httpx.Response:
    async with world.new_client() as stranger:
        return await stranger.post(path, json=body)


async def sign_in(world: ApiWorld, user: SignedInUser, password: str) -> int:
    answer = await post(world, "/v1/sessions", handle=user.handle, password=password)
    return answer.status_code


async def reset(world: ApiWorld, token: str, password: str = RENEWED) -> httpx.Response:
    return await post(world, "/v1/password-resets/confirm", token=token, password=password)


async def test_a_mailed_link_sets_a_password_once_and_ends_all_sessions(
    world: ApiWorld, mailbox: Mailbox
) -> None:
    ada, bob = [await register(world, mailbox, name) for name in ("ada", "bob")]
    asked = await post(world, "/v1/password-resets", email="ADA@example.org")
    unknown = await post(world, "/v1/password-resets", email="eve@example.org")
    assert asked.status_code == unknown.status_code == 202
    assert asked.content == unknown.content
    token = await mailbox.next_link("ada@example.org", "reset")
    refused = await reset(world, token, "12345678")
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/password-common")
    assert (await reset(world, token)).status_code == 200
    again = await reset(world, token, "another one of mine")
    assert (again.status_code, again.json()["type"]) == (403, "/problems/link-invalid")
    assert await sign_in(world, ada, PASSWORD) == 401
    assert await sign_in(world, ada, RENEWED) == 201
    assert (await ada.http.get("/v1/users/me")).status_code == 401
    assert (await bob.http.get("/v1/timelines/home")).status_code == 200
    assert mailbox.mails.empty()


async def test_a_link_dies_after_an_hour_and_with_another_password(
    world: ApiWorld, mailbox: Mailbox
) -> None:
    ada = await register(world, mailbox, "ada")
    await post(world, "/v1/password-resets", email="ada@example.org")
    token = await mailbox.next_link("ada@example.org", "reset")
    user, expires, mac = token.split(".")
    later = f"{user}.{int(expires) + 1}.{mac}"
    for forged in (later, f"1.{expires}.{mac}", f"{user}.{expires}.", "é", "", f"{mac}.{token}"):
        assert (await reset(world, forged)).status_code == 403, forged
    world.clock.sleep(HOUR)
    assert (await reset(world, token)).status_code == 403
    await post(world, "/v1/password-resets", email="ada@example.org")
    token = await mailbox.next_link("ada@example.org", "reset")
    change = {"password": RENEWED, "current_password": PASSWORD}
    await ada.send_command("PATCH", "/v1/users/me", change)
    assert (await reset(world, token, "another one of mine")).status_code == 403


async def test_a_deleted_account_gets_no_link_and_takes_none(
    world: ApiWorld, mailbox: Mailbox
) -> None:
    ada, bob = [await register(world, mailbox, name) for name in ("ada", "bob")]
    await post(world, "/v1/password-resets", email="ada@example.org")
    token = await mailbox.next_link("ada@example.org", "reset")
    await ada.send_command("DELETE", "/v1/users/me")
    assert (await post(world, "/v1/password-resets", email="ada@example.org")).status_code == 202
    assert (await reset(world, token)).status_code == 403
    await post(world, "/v1/password-resets", email=f"{bob.handle}@example.org")
    await mailbox.next_link("bob@example.org", "reset")


async def test_an_address_is_verified_by_its_link_until_it_changes(
    world: ApiWorld, mailbox: Mailbox
) -> None:
    ada, bob = [await register(world, mailbox, name) for name in ("ada", "bob")]
    assert (await ada.get_json("/v1/users/me"))["email_verified"] is False
    assert (await ada.http.post("/v1/users/me/email-verification")).status_code == 202
    token = await mailbox.next_link("ada@example.org", "verify")
    assert (await reset(world, token)).status_code == 403  # for its own purpose alone
    verified = await post(world, "/v1/email-verifications/confirm", token=token)
    assert (verified.status_code, verified.json()) == (200, {"email_verified": True})
    assert (await ada.get_json("/v1/users/@ada"))["email_verified"] is True
    assert "email_verified" not in await bob.get_json("/v1/users/@ada")
    change = {"email": "countess@example.org", "current_password": PASSWORD}
    assert (await ada.send_command("PATCH", "/v1/users/me", change))["email_verified"] is False
    await mailbox.next_link("countess@example.org", "verify")
    stale = await post(world, "/v1/email-verifications/confirm", token=token)
    assert stale.status_code == 403


async def test_many_requests_for_one_address_are_refused(world: ApiWorld) -> None:
    asked = [await post(world, "/v1/password-resets", email="eve@example.org") for _ in range(11)]
    assert [one.status_code for one in asked] == [202] * 10 + [429]
    assert int(asked[-1].headers["retry-after"]) > 0


async def test_a_mail_that_fails_is_tried_again_and_no_log_line_says_whose_it_is(
    world: ApiWorld, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await register(world, mailbox, "ada")
    mailbox.refusals.append("451 not now, ada@example.org")
    await post(world, "/v1/password-resets", email="ada@example.org")
    token = await mailbox.next_link("ada@example.org", "reset")
    mailbox.refusals.append("554 never, ada@example.org")
    await post(world, "/v1/password-resets", email="ada@example.org")
    await world.app.state.api.recovery.aclose()
    ours = "\n".join(one.getMessage() for one in caplog.records if one.name[:4] == "api.")
    assert "tried again in 1 s: the mail server answered 451" in ours
    assert "given up: the mail server answered 554" in ours
    assert "ada@example.org" not in ours
    assert token not in ours


async def test_a_new_account_is_sent_a_link_and_works_without_it(
    world: ApiWorld, mailbox: Mailbox
) -> None:
    ada = await register_user(world, "ada")
    await ada.create_post("hello")
    app = ada.http
    assert (await app.get("/api/v1/emails/check_confirmation")).json() is False
    token = await mailbox.next_link("ada@example.org", "verify")
    assert (await app.post("/api/v1/emails/confirmations")).json() == {}
    again = await mailbox.next_link("ada@example.org", "verify")
    same = {"email": "ADA@example.org"}
    assert (await app.post("/api/v1/emails/confirmations", json=same)).json() == {}
    await mailbox.next_link("ada@example.org", "verify")
    other = {"email": "eve@example.org"}
    refused = await app.post("/api/v1/emails/confirmations", json=other)
    assert (refused.status_code, list(refused.json())) == (422, ["error"])
    assert (await post(world, "/v1/email-verifications/confirm", token=token)).is_success
    assert (await app.get("/api/v1/emails/check_confirmation")).json() is True
    for _ in range(2):
        done = await app.post("/api/v1/emails/confirmations")
        assert (done.status_code, list(done.json())) == (403, ["error"])
    assert (await post(world, "/v1/email-verifications/confirm", token=again)).is_success
    assert mailbox.mails.empty()


async def test_a_link_is_sent_again_only_so_often(world: ApiWorld, mailbox: Mailbox) -> None:
    ada = await register(world, mailbox, "ada")
    path = "/api/v1/emails/confirmations"
    asked = [(await ada.http.post(path)).status_code for _ in range(11)]
    assert asked == [200] * 10 + [429]


async def test_an_account_that_an_app_makes_is_sent_one_link_however_often_it_asks(
    world: ApiWorld, mailbox: Mailbox
) -> None:
    client = await client_of_app(world)
    client.headers["Idempotency-Key"] = "once"
    assert [(await sign_up(client)).status_code for _ in range(2)] == [200, 200]
    await mailbox.next_link("ada@example.org", "verify")
    await world.app.state.api.recovery.aclose()
    assert mailbox.mails.empty()


async def test_accounts_made_again_and_again_send_an_address_of_others_five_links(
    world: ApiWorld, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(6):
        new = {"handle": f"eve{number}", "name": "E", "email": "Ada@example.org"}
        answer = await post(world, "/v1/users", password=PASSWORD, **new)
        client = world.new_client(answer.json()["token"])
        if number < 5:
            await mailbox.next_link("Ada@example.org", "verify")
        await world.app.state.api.recovery.aclose()
        assert (await client.delete("/v1/users/me")).is_success
    assert mailbox.mails.empty()
    assert "an address had its share of links today" in caplog.text
    assert "ada@example.org" not in caplog.text.casefold()


async def test_a_sign_up_neither_waits_for_a_mail_server_that_is_away_nor_fails() -> None:
    never = asyncio.Event()

    async def deliver(mail: Mail) -> None:
        await never.wait()
        raise MailFailed("the mail server failed")

    world = ApiWorld(deliver_mail=deliver)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await register_user(world, "ada")
    never.set()


async def test_without_a_mail_server_an_operator_is_named() -> None:
    world = ApiWorld()
    ada = await register_user(world, "ada")
    for answer in (
        await post(world, "/v1/password-resets", email="ada@example.org"),
        await ada.http.post("/v1/users/me/email-verification"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/mail-not-set-up")
        assert "starling account-link" in answer.json()["detail"]


async def test_links_lead_to_a_page_that_may_ask_its_own_server_alone(world: ApiWorld) -> None:
    async with world.new_client() as stranger:
        page = await stranger.get("/account")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"


def test_an_operator_prints_links(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)

    async def register() -> str:
        with open_write_side(settings) as side:
            registrar = AccountRegistrar(side, BoundedPasswordHasher())
            request = CommandRequest(Register("ada", "Ada", ""), 0, None)
            made = await registrar.register_account(
                request, Credentials("ada@example.org", PASSWORD)
            )
            account = await side.accounts.get(made.id)
        assert account is not None
        return account.password_hash or ""

    password_hash = asyncio.run(register())
    links = LinkTokens(signing_secret(settings), clock_ms)
    for arguments, purpose, bound_to in (
        (["@ada"], LinkPurpose.RESET_PASSWORD, password_hash),
        (["ada", "--verify-email"], LinkPurpose.VERIFY_EMAIL, "ada@example.org"),
    ):
        printed = CliRunner().invoke(main, ["account-link", *arguments, "--data", str(tmp_path)])
        assert printed.exit_code == 0, printed.stderr
        address, _, token = printed.stdout.strip().partition(f"#{purpose.value}=")
        assert address == "http://127.0.0.1:8000/account"
        links.check(purpose, read_claims(token), bound_to)
    assert (
        CliRunner().invoke(main, ["account-link", "@eve", "--data", str(tmp_path)]).exit_code == 1
    )
