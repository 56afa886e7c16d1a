"""Signing up over apps of Mastodon's clients."""

from typing import Any

import httpx
import pytest

from tests.support.api_world import PASSWORD, ApiWorld, register_user
from tests.support.mastodon_schemas import check_entity

NEW = {
    "username": "Ada", "email": "ada@example.org", "password": PASSWORD, "agreement": "true",
    "locale": "en",
}  # fmt: skip
SCOPES = "read write follow push"


@pytest.fixture
async def world() -> ApiWorld:
    """Signing up is no hot operation: once is enough."""
    return ApiWorld()


async def client_of_app(world: ApiWorld, scope: str = "write:accounts") -> httpx.AsyncClient:
    """A client with the token of a new app alone."""
    async with world.new_client() as client:
        wanted = {"client_name": "a phone", "scopes": SCOPES,
                  "redirect_uris": "urn:ietf:wg:oauth:2.0:oob"}  # fmt: skip
        app = (await client.post("/api/v1/apps", json=wanted)).json()
        given = {"grant_type": "client_credentials", "scope": scope,
                 "client_id": app["client_id"], "client_secret": app["client_secret"]}  # fmt: skip
        token = (await client.post("/oauth/token", data=given)).json()["access_token"]
    return world.new_client(token)


async def sign_up(client: httpx.AsyncClient, **more: Any) -> httpx.Response:
    return await client.post("/api/v1/accounts", json=NEW | more)


async def test_a_new_account_is_signed_in_and_seen_at_once(world: ApiWorld) -> None:
    client = await client_of_app(world)
    answer = await sign_up(client)
    assert answer.status_code == 200, answer.text
    check_entity("Token", answer.json())
    assert set(answer.json()["scope"].split()) == set(SCOPES.split())
    ada = world.new_client(answer.json()["access_token"])
    me = (await ada.get("/api/v1/accounts/verify_credentials")).json()
    check_entity("CredentialAccount", me)
    assert (me["acct"], me["display_name"]) == ("ada", "Ada")
    known = (await ada.get("/api/v1/apps/verify_credentials")).json()
    assert known["name"] == "a phone"
    assert (await ada.post("/api/v1/statuses", json={"status": "hi"})).status_code == 200
    session = await world.new_client().post(
        "/v1/sessions", json={"handle": "ada", "password": PASSWORD}
    )
    assert session.status_code == 201


async def test_each_field_that_is_wrong_has_its_code(world: ApiWorld) -> None:
    client = await client_of_app(world)
    answer = await client.post("/api/v1/accounts", data={"email": "none", "password": "short"})
    assert answer.status_code == 422
    found = answer.json()
    check_entity("ValidationError", found)
    codes = {name: [one["error"] for one in given] for name, given in found["details"].items()}
    assert codes == {
        "username": ["ERR_BLANK"], "email": ["ERR_INVALID"], "password": ["ERR_TOO_SHORT"],
        "agreement": ["ERR_ACCEPTED"],
    }  # fmt: skip
    assert found["error"].startswith("Validation failed: Username can't be blank, Email is invalid")
    assert await world.accounts.find_by_email("none") is None


async def test_what_another_account_has_is_taken(world: ApiWorld) -> None:
    await register_user(world, "ada")
    client = await client_of_app(world)
    for field, more in (
        ("username", {"email": "other@example.org"}), ("email", {"username": "other"}),
    ):  # fmt: skip
        answer = await sign_up(client, **more)
        assert answer.status_code == 422
        check_entity("ValidationError", answer.json())
        [[problem]] = answer.json()["details"].values()
        assert (list(answer.json()["details"]), problem["error"]) == ([field], "ERR_TAKEN")


async def test_an_account_is_made_by_an_app_alone_that_may(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    new = {"username": "bob", "email": "bob@example.org"}
    assert (await sign_up(world.new_client(), **new)).status_code == 401
    assert (await sign_up(ada.http, **new)).status_code == 403
    reader = await client_of_app(world, "read")
    refused = await sign_up(reader, **new)
    assert (refused.status_code, list(refused.json())) == (403, ["error"])


async def test_a_sign_up_that_is_sent_again_makes_one_account(world: ApiWorld) -> None:
    client = await client_of_app(world)
    client.headers["Idempotency-Key"] = "once"
    first, second = await sign_up(client), await sign_up(client)
    assert (first.status_code, second.status_code) == (200, 200)
    names = [stored.type for stored in world.log.read_all()]
    assert names.count("user-registered") == 1
    other = await sign_up(client, password="another horse")
    assert other.status_code == 422
