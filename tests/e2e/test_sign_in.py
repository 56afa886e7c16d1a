"""Signing in, other passwords, tokens that end."""

import httpx

from api.accounts.access_tokens import TOKEN_LIFE_DAYS
from tests.support.api_world import PASSWORD, ApiWorld, register_user


async def test_signing_in_takes_the_handle_in_any_case_and_the_password(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = await register_user(world, "ada")
    for handle in ("ada", "ADA", "@ada"):
        body = {"handle": handle, "password": PASSWORD}
        answer = await stranger.post("/v1/sessions", json=body)
        assert answer.status_code == 201
        assert answer.json()["id"] == ada.id
        claims = await world.access_tokens.read_claims(answer.json()["token"].encode())
        assert claims.user == int(ada.id)


async def test_a_wrong_password_and_an_unknown_handle_look_alike(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    await register_user(world, "ada")
    wrong = await stranger.post("/v1/sessions", json={"handle": "ada", "password": "guess"})
    unknown = await stranger.post("/v1/sessions", json={"handle": "eve", "password": "guess"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.headers["WWW-Authenticate"] == "Bearer"


async def test_guessing_is_throttled(world: ApiWorld, stranger: httpx.AsyncClient) -> None:
    await register_user(world, "ada")
    guess = {"handle": "ada", "password": "guess"}
    statuses = [(await stranger.post("/v1/sessions", json=guess)).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    answer = await stranger.post("/v1/sessions", json=guess | {"password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


async def test_changing_the_password_requires_the_current_one(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = await register_user(world, "ada")
    change = {"password": "battery staple", "email": "countess@example.org"}
    refused = await ada.http.patch("/v1/users/me", json=change)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/credentials-wrong")
    await ada.send_command("PATCH", "/v1/users/me", change | {"current_password": PASSWORD})
    await ada.send_command("PATCH", "/v1/users/me", change | {"current_password": PASSWORD})
    signed = await stranger.post(
        "/v1/sessions", json={"handle": "ada", "password": "battery staple"}
    )
    assert signed.status_code == 201
    assert (await ada.get_json("/v1/users/me"))["email"] == "countess@example.org"


async def test_a_deleted_account_can_not_sign_in_even_where_its_row_survived_a_crash(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = await register_user(world, "ada")
    row = await world.accounts.get(int(ada.id))
    await ada.send_command("DELETE", "/v1/users/me")
    assert row is not None
    await world.accounts.put(row)
    answer = await stranger.post("/v1/sessions", json={"handle": "ada", "password": PASSWORD})
    assert answer.status_code == 401


async def test_a_token_expires(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    world.clock.sleep(TOKEN_LIFE_DAYS * 24 * 60 * 60)
    answer = await ada.http.get("/v1/timelines/home")
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/token-expired")
