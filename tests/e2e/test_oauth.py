"""OAuth 2: an app is registered, let in by its user, does what it may, and is shown out."""

import base64
import hashlib
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api.accounts.app_scopes import wanted_scope
from api.oauth.unused_apps import UnusedApps
from tests.support.api_world import PASSWORD, ApiWorld, SignedInUser, register_user
from tests.support.mastodon_schemas import check_entity

BACK = "http://127.0.0.1:9876/done?x=1"
OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob"
SCOPES = "read write follow push"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode()[:-1]
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


class AppInTest:
    """An app, and the browser of the user who lets it in."""

    def __init__(self, world: ApiWorld, registered: dict[str, Any]) -> None:
        self.world = world
        self.registered = registered
        self.id = registered["client_id"]
        self.browser = world.new_client()

    def asking(self, **more: str) -> dict[str, str]:
        uri = self.registered["redirect_uris"][0]
        return {"response_type": "code", "client_id": self.id, "redirect_uri": uri,
                "scope": SCOPES, "state": "s/1"} | more  # fmt: skip

    async def open_page(self, **more: str) -> httpx.Response:
        return await self.browser.get("/oauth/authorize", params=self.asking(**more))

    async def send_form(self, page: httpx.Response, **fields: str) -> httpx.Response:
        filled = {"username": "ada", "password": PASSWORD, "decision": "allow"}
        form = dict(HIDDEN.findall(page.text)) | filled | fields
        return await self.browser.post("/oauth/authorize", data=form)

    async def get_code(self, **more: str) -> str:
        answer = await self.send_form(await self.open_page(**more))
        assert answer.status_code == 303, answer.text
        (code,) = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
        return code

    async def ask_token(self, **parameters: str) -> httpx.Response:
        own = {"client_id": self.id, "client_secret": self.registered["client_secret"]}
        given = {name: text for name, text in (own | parameters).items() if text}
        async with self.world.new_client() as client:
            return await client.post("/oauth/token", data=given)

    async def spend_code(self, code: str, **more: str) -> httpx.Response:
        uri = self.registered["redirect_uris"][0]
        given = {"grant_type": "authorization_code", "code": code, "redirect_uri": uri}
        return await self.ask_token(**given | more)

    async def let_in(self, **more: str) -> httpx.AsyncClient:
        answer = await self.spend_code(await self.get_code(**more))
        return self.world.new_client(answer.json()["access_token"])


async def register_app(world: ApiWorld, uri: str = BACK, **more: Any) -> AppInTest:
    body = {"client_name": "A <b>Phone</b>", "redirect_uris": uri, "scopes": SCOPES} | more
    async with world.new_client() as client:
        answer = await client.post("/api/v1/apps", json=body)
    assert answer.status_code == 200, answer.text
    return AppInTest(world, answer.json())


@pytest.fixture
async def world() -> ApiWorld:
    """OAuth has no hot operations: once is enough."""
    return ApiWorld()


@pytest.fixture
async def ada(world: ApiWorld) -> SignedInUser:
    return await register_user(world, "ada")


@pytest.fixture
async def app(world: ApiWorld, ada: SignedInUser) -> AppInTest:
    return await register_app(world)


async def test_an_app_is_registered_with_its_addresses_in_any_form(world: ApiWorld) -> None:
    for uris in (f"{BACK}\ntuba://x", [BACK, "tuba://x"]):
        app = (await register_app(world, uris)).registered  # type: ignore[arg-type]
        check_entity("CredentialApplication", app)
        assert app["redirect_uris"] == [BACK, "tuba://x"]
        assert (app["vapid_key"], app["client_secret_expires_at"]) == ("", 0)
    async with world.new_client() as client:
        form = {"client_name": "x", "redirect_uris": OUT_OF_BAND, "scopes": "read write:media"}
        assert (await client.post("/api/v1/apps", data=form)).json()["redirect_uris"] == [
            OUT_OF_BAND
        ]
        assert (await client.post("/api/v1/apps", params=form)).status_code == 200
        for wrong in ({"scopes": "admin"}, {"redirect_uris": "javascript:x"}, {"client_name": ""},
                      {"website": "ftp://x"}):  # fmt: skip
            answer = await client.post("/api/v1/apps", data=form | wrong)
            assert (answer.status_code, list(answer.json())) == (422, ["error"])


async def test_the_page_says_in_plain_words_who_asks_for_what(app: AppInTest) -> None:
    page = await app.open_page(scope="read:statuses follow push")
    assert page.status_code == 200
    assert "A &lt;b&gt;Phone&lt;/b&gt;" in page.text
    assert "<b>" not in page.text
    for words in ("See posts and timelines", "whom you follow, block and mute", "127.0.0.1:9876"):
        assert words in page.text
    assert "Act for you" not in page.text


async def test_the_policy_of_the_page_lets_the_redirect_pass_and_no_script(app: AppInTest) -> None:
    page = await app.open_page()
    policy = page.headers["content-security-policy"]
    assert "form-action 'self' http://127.0.0.1:9876;" in policy
    assert "script-src" not in policy
    assert "<script" not in page.text
    assert "frame-ancestors 'none'" in policy
    headers = (await app.browser.get("/oauth/authorize/", params=app.asking(),
                                     headers={"Origin": "https://x.example"})).headers  # fmt: skip
    assert "access-control-allow-origin" not in headers
    assert "cross-origin-opener-policy" not in headers
    assert headers["cache-control"] == "no-store"


async def test_a_code_leads_to_a_token_that_acts_for_its_user_in_both_apis(
    app: AppInTest, ada: SignedInUser
) -> None:
    answer = await app.send_form(await app.open_page())
    address, _, query = answer.headers["location"].partition("&")
    assert address == BACK
    assert parse_qs(query)["state"] == ["s/1"]
    token = await app.spend_code(parse_qs(query)["code"][0], oauth_info="{}")
    assert token.status_code == 200
    check_entity("Token", token.json())
    assert (token.json()["token_type"], token.json()["scope"]) == ("Bearer", SCOPES)
    assert isinstance(token.json()["created_at"], int)
    assert "refresh_token" not in token.json()
    client = app.world.new_client(token.json()["access_token"])
    assert (await client.post("/v1/posts", json={"text": "hi"})).status_code == 201
    assert (await client.post("/api/v1/statuses", json={"status": "hi"})).status_code == 200
    known = (await client.get("/api/v1/apps/verify_credentials")).json()
    check_entity("Application", known)
    assert "client_secret" not in known
    about = (await client.get("/oauth/userinfo")).json()
    assert about["preferred_username"] == "ada"


async def test_a_code_is_good_once_and_a_second_use_ends_what_it_gave(app: AppInTest) -> None:
    code = await app.get_code()
    token = (await app.spend_code(code)).json()["access_token"]
    client = app.world.new_client(token)
    assert (await client.get("/v1/timelines/home")).status_code == 200
    again = await app.spend_code(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert (await client.get("/v1/timelines/home")).status_code == 401


async def test_a_code_is_bound_to_app_address_and_time(app: AppInTest) -> None:
    other = await register_app(app.world)
    code = await app.get_code()
    for refused in (
        await other.spend_code(code),
        await app.spend_code(code, redirect_uri="http://127.0.0.1:9876/done"),
        await app.spend_code(code, client_secret="wrong"),
        await app.spend_code("wrong"),
    ):
        assert refused.status_code in (400, 401)
    app.world.clock.sleep(5 * 60)
    assert (await app.spend_code(code)).json()["error"] == "invalid_grant"


async def test_a_public_app_proves_its_challenge(app: AppInTest) -> None:
    pkce = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    code = await app.get_code(**pkce)
    for wrong in ({}, {"code_verifier": "w" * 43}, {"client_secret": ""},
                  {"code_verifier": "w" * 43, "client_secret": ""}):  # fmt: skip
        assert (await app.spend_code(code, **wrong)).status_code == 400
    right = await app.spend_code(code, client_secret="", code_verifier=VERIFIER)
    assert right.status_code == 200
    plain = await app.open_page(code_challenge=VERIFIER, code_challenge_method="plain")
    assert "error=invalid_request" in plain.headers["location"]
    unproven = await app.spend_code(await app.get_code(), client_secret="")
    assert unproven.status_code == 400


async def test_the_code_of_an_app_without_an_address_is_shown(
    world: ApiWorld, ada: SignedInUser
) -> None:
    app = await register_app(world, OUT_OF_BAND)
    page = await app.send_form(await app.open_page())
    found = re.search(r'<code id="code">([^<]+)</code>', page.text)
    assert found is not None
    assert (await app.spend_code(found[1])).status_code == 200
    refused = await app.send_form(await app.open_page(), decision="deny")
    assert (refused.status_code, "location" in refused.headers) == (400, False)


async def test_a_wrong_password_shows_the_page_again_and_a_refusal_goes_to_the_app(
    app: AppInTest,
) -> None:
    again = await app.send_form(await app.open_page(), password="a guess")
    assert again.status_code == 401
    assert "No account has this name and this password" in again.text
    assert (await app.send_form(again, username="ada@example.org")).status_code == 303
    refused = await app.send_form(await app.open_page(), decision="deny", password="")
    assert "error=access_denied" in refused.headers["location"]
    assert "state=s%2F1" in refused.headers["location"]
    for kind in ("token", "é", 'co"de'):
        asked = app.asking() | {"response_type": kind}
        refused = await app.browser.get("/oauth/authorize", params=asked)
        assert "error=unsupported_response_type" in refused.headers["location"]


async def test_no_other_page_can_send_the_form(app: AppInTest) -> None:
    page = await app.open_page()
    for fields in ({"form_secret": ""}, {"form_secret": "x" * 43}):
        assert (await app.send_form(page, **fields)).status_code == 403
    app.browser.headers["Sec-Fetch-Site"] = "cross-site"
    assert (await app.send_form(page)).status_code == 403
    app.browser.headers["Sec-Fetch-Site"] = "same-origin"
    assert (await app.send_form(page)).status_code == 303
    app.browser.cookies.clear()
    assert (await app.send_form(page)).status_code == 403


@pytest.mark.parametrize(
    "asked",
    [
        {"client_id": "7"}, {"client_id": "x"}, {"redirect_uri": "https://évil.example/\""},
        {"redirect_uri": BACK + "2"}, {"state": "s" * 3000},
    ],
)  # fmt: skip
async def test_a_user_is_sent_nowhere_for_a_request_that_names_no_app_and_its_address(
    app: AppInTest, asked: dict[str, str]
) -> None:
    page = await app.open_page(**asked)
    assert (page.status_code, "location" in page.headers) == (400, False)
    assert page.headers["content-type"].startswith("text/html")


async def test_an_app_gets_no_more_than_it_was_registered_for(
    world: ApiWorld, ada: SignedInUser
) -> None:
    app = await register_app(world, scopes="read follow")
    for scope in ("write", "read admin", "push"):
        page = await app.open_page(scope=scope)
        assert "error=invalid_scope" in page.headers["location"]
    reader = await app.let_in(scope="read:statuses")
    await world.project_all()
    writing = (
        ("/v1/posts", {"text": "hi"}), ("/api/v1/statuses", {"status": "hi"}),
    )  # fmt: skip
    for path, body in writing:
        assert (await reader.post(path, json=body)).status_code == 403
    for path, status in (("/v1/timelines/home", 200), ("/api/v1/timelines/home", 200),
                         ("/v1/users/me", 403), ("/api/v1/accounts/verify_credentials", 403),
                         (f"/api/v1/accounts/{ada.id}/followers", 403)):  # fmt: skip
        assert (await reader.get(path)).status_code == status, path
    refused = await reader.post("/api/v1/statuses", json={"status": "hi"})
    assert refused.json() == {"error": "This action is outside the authorized scopes"}


def test_only_this_is_left_to_users_themselves(world: ApiWorld) -> None:
    document = world.app.openapi()
    closed = {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if {"token": ["user"]} in operation.get("security", ())
        and wanted_scope(method.upper(), path) is None
    }
    assert closed == {
        "GET /v1/users/me/sessions", "DELETE /v1/users/me/sessions/{id}", "GET /v1/users/me/apps",
        "DELETE /v1/users/me/apps/{id}", "DELETE /v1/users/me", "PUT /v1/users/me/click-tracking",
        "GET /v1/users/me/click-tracking", "DELETE /v1/users/me/click-tracking",
        "GET /v1/analytics/growth",
        "POST /v1/users/me/export", "POST /v1/users/me/email-verification",
        "GET /v1/users/me/moderation",
    }  # fmt: skip


async def test_an_app_alone_reads_what_is_public(app: AppInTest) -> None:
    answer = await app.ask_token(grant_type="client_credentials")
    assert answer.json()["scope"] == "read"
    client = app.world.new_client(answer.json()["access_token"])
    assert (await client.get("/api/v1/apps/verify_credentials")).status_code == 200
    assert (await client.get("/api/v1/timelines/public")).status_code == 200
    refused = await client.get("/api/v1/timelines/home")
    assert refused.status_code == 422
    assert refused.json() == {"error": "This method requires an authenticated user"}
    unproven = await app.ask_token(grant_type="client_credentials", client_secret="")
    assert (unproven.status_code, unproven.json()["error"]) == (401, "invalid_client")


async def test_a_password_leads_to_a_token_by_handle_or_email(app: AppInTest) -> None:
    for name in ("ada", "@ada", "Ada@example.org"):
        given = {"grant_type": "password", "username": name, "scope": "read write"}
        assert (await app.ask_token(password=PASSWORD, **given)).json()["scope"] == "read write"
        wrong = await app.ask_token(password="a guess", **given)
        assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    unknown = await app.ask_token(grant_type="refresh_token")
    assert (unknown.status_code, unknown.json()["error"]) == (400, "unsupported_grant_type")


async def test_parameters_come_in_json_the_query_or_the_header(app: AppInTest) -> None:
    basic = httpx.BasicAuth(app.id, app.registered["client_secret"])
    grant = {"grant_type": "client_credentials"}
    secret = {"client_id": app.id, "client_secret": app.registered["client_secret"]}
    async with app.world.new_client() as client:
        for sent in (
            {"json": grant | secret}, {"params": grant | secret}, {"data": grant, "auth": basic},
            {"files": {"x": b""}, "data": grant | secret},
        ):  # fmt: skip
            answer = await client.post("/oauth/token", **sent)
            assert answer.status_code == 200, answer.text
        odd = await client.post("/oauth/token", headers={"Authorization": "Basic /w=="})
        assert (odd.status_code, odd.headers["content-type"]) == (400, "application/json")


async def test_an_app_gives_its_token_back(app: AppInTest) -> None:
    client, other = await app.let_in(), await register_app(app.world)
    token = client.headers["authorization"].partition(" ")[2]
    credentials = {"client_id": app.id, "client_secret": app.registered["client_secret"]}
    foreign = {"client_id": other.id, "client_secret": other.registered["client_secret"]}
    async with app.world.new_client() as anon:
        refused = await anon.post("/oauth/revoke", data=foreign | {"token": token})
        assert refused.status_code == 403
        assert (await client.get("/v1/timelines/home")).status_code == 200
        for _ in range(2):
            done = await anon.post("/oauth/revoke", data=credentials | {"token": token})
            assert (done.status_code, done.json()) == (200, {})
    assert (await client.get("/v1/timelines/home")).status_code == 401


async def test_a_user_lists_apps_and_shows_one_out(app: AppInTest, ada: SignedInUser) -> None:
    client, other = await app.let_in(scope="read"), await register_app(app.world)
    elsewhere = await other.let_in()
    listed = await ada.get_json("/v1/users/me/apps")
    assert {(one["id"], one["name"]) for one in listed} == {
        (app.id, "A <b>Phone</b>"), (other.id, "A <b>Phone</b>"),
    }  # fmt: skip
    assert (await client.get("/v1/users/me/apps")).status_code == 403
    removed = await ada.send_command("DELETE", f"/v1/users/me/apps/{app.id}")
    assert removed == {"id": app.id, "removed": True}
    assert (await client.get("/v1/timelines/home")).status_code == 401
    assert (await elsewhere.get("/v1/timelines/home")).status_code == 200
    assert (await ada.http.delete(f"/v1/users/me/apps/{app.id}")).status_code == 404


async def test_the_server_says_what_it_knows_of_oauth(stranger: httpx.AsyncClient) -> None:
    about = (await stranger.get("/.well-known/oauth-authorization-server")).json()
    assert about["code_challenge_methods_supported"] == ["S256"]
    assert "password" in about["grant_types_supported"]
    assert about["token_endpoint"] == "http://test/oauth/token"
    assert {"read", "write:statuses", "push"} <= set(about["scopes_supported"])


async def test_a_suspended_account_lets_no_app_in_and_is_told_why(
    app: AppInTest, ada: SignedInUser
) -> None:
    boss = await register_user(app.world, "opal")
    opal = app.world.new_client(app.world.tokens.issue(int(boss.id), ("operator",)))
    reason = {"reason": "Spam"}
    assert (await opal.put(f"/v1/users/{ada.id}/suspension", json=reason)).status_code == 200
    page = await app.send_form(await app.open_page())
    assert (page.status_code, page.headers["content-type"][:9]) == (403, "text/html")
    assert "this account is suspended: Spam" in page.text
    assert "location" not in page.headers
    wrong = await app.send_form(page, password="a guess")  # who can't sign in learns nothing
    assert (wrong.status_code, "Spam" in wrong.text) == (401, False)
    token = await app.ask_token(grant_type="password", username="ada", password=PASSWORD)
    assert (token.status_code, token.json()["error"]) == (400, "invalid_grant")
    assert token.json()["error_description"] == "this account is suspended: Spam"
    await opal.post(f"/v1/users/{ada.id}/suspension/end", json=reason)
    assert (await app.send_form(page)).status_code == 303


async def test_an_app_that_was_never_used_is_gone_a_week_later(
    app: AppInTest, world: ApiWorld
) -> None:
    used, unused = app, await register_app(world)
    client = await used.let_in()
    sweeping = UnusedApps(world.apps, world.clock)
    for days, status in ((6, 200), (2, 400)):
        world.clock.sleep(days * 24 * 60 * 60)
        await sweeping.sweep()
        assert (await unused.open_page()).status_code == status
        assert (await used.open_page()).status_code == 200
    assert (await unused.ask_token(grant_type="client_credentials")).status_code == 401
    assert (await client.get("/api/v1/apps/verify_credentials")).status_code == 200
