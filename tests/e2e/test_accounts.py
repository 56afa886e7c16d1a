"""Joining, signing in, changing oneself, leaving."""

import httpx
import pytest

from api.accounts.account_store import AccountRecord
from api.schemas import Registered, User
from events.log import LogUnavailable
from tests.support.api_world import PASSWORD, ApiWorld, SignedInUser, register_user
from tests.support.media import image_bytes

ADA = {"handle": "Ada", "name": "Ada L.", "email": "ada@example.org", "password": PASSWORD}
SESSION = {"handle": "ada", "password": PASSWORD}


async def test_a_new_user_is_answered_whole_and_signed_in(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    answer = await stranger.post("/v1/users", json=ADA | {"bio": "Countess"})
    assert answer.status_code == 201
    assert answer.headers["Starling-Position"] == str(world.log.head())
    user = Registered.model_validate_json(answer.content)
    assert (user.handle, user.name, user.bio) == ("ada", "Ada L.", "Countess")
    assert (user.followers, user.following, user.posts) == (0, 0, 0)
    assert user.created_at == "2026-02-02T02:40:00.000Z"
    assert isinstance(user.token, str)
    mine = await world.new_client(user.token).get(
        "/v1/users/me", headers={"Starling-Position": answer.headers["Starling-Position"]}
    )
    shown = answer.json()
    del shown["token"]
    assert mine.json() == shown


async def test_one_can_look_at_oneself_before_any_view_has_the_account(world: ApiWorld) -> None:
    ada = await register_user(world, "ada", "Ada")
    me = (await ada.http.get("/v1/users/me")).json()
    assert (me["id"], me["name"], me["email"]) == (ada.id, "Ada", "ada@example.org")
    ghost = world.new_client(world.tokens.issue(12345))
    answer = await ghost.get("/v1/users/me")
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/account-unknown")


async def test_neither_email_nor_password_reaches_the_log(world: ApiWorld) -> None:
    await register_user(world, "ada")
    written = b"".join(stored.data for stored in world.log.read_all())
    assert b"example.org" not in written
    assert PASSWORD.encode() not in written
    assert b"argon2" not in written


async def test_a_taken_handle_is_a_conflict_and_leaves_no_account(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    await register_user(world, "ada")
    other = ADA | {"handle": "ADA", "email": "other@example.org"}
    answer = await stranger.post("/v1/users", json=other)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/handle-taken")
    assert await world.accounts.find_by_email("other@example.org") is None


async def test_a_taken_email_is_a_conflict_and_takes_no_handle(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    await register_user(world, "ada")
    answer = await stranger.post("/v1/users", json=ADA | {"handle": "eve"})
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/email-taken")
    answer = await stranger.post("/v1/users", json=ADA | {"handle": "eve", "email": "e@x.org"})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("handle", "a", "handle-invalid"),
        ("handle", "a b", "handle-invalid"),
        ("name", " ", "name-empty"),
        ("name", "\u202eadA", "name-invalid"),
        ("email", "ghost", "invalid-body"),
        ("password", "short", "invalid-body"),
        ("password", 12345678, "invalid-body"),
        ("admin", True, "invalid-body"),
    ],
)
async def test_a_field_that_makes_no_sense_is_named(
    stranger: httpx.AsyncClient, field: str, value: object, code: str
) -> None:
    answer = await stranger.post("/v1/users", json=ADA | {field: value})
    assert (answer.status_code, answer.json()["type"]) == (422, f"/problems/{code}")
    assert field in answer.json()["detail"]


async def test_a_registration_sent_again_with_its_key_is_the_same_one(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    key = {"Idempotency-Key": "k1"}
    first = await stranger.post("/v1/users", json=ADA, headers=key)
    head = world.log.head()
    again = await stranger.post("/v1/users", json=ADA, headers=key)
    assert again.status_code == 201
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["Starling-Position"] == first.headers["Starling-Position"]
    assert world.log.head() == head


async def test_a_registrations_key_gives_no_token_without_the_password(
    stranger: httpx.AsyncClient,
) -> None:
    key = {"Idempotency-Key": "k1"}
    await stranger.post("/v1/users", json=ADA, headers=key)
    answer = await stranger.post("/v1/users", json=ADA | {"password": "another one"}, headers=key)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/key-reused")


async def test_an_account_left_by_a_crash_gives_its_email_back(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    """The account was kept, the user never appended."""
    orphan = AccountRecord(world.ports.new_id(), ADA["email"], None, world.clock())
    await world.accounts.put(orphan)
    answer = await stranger.post("/v1/users", json=ADA)
    assert answer.status_code == 409
    world.clock.sleep(61)
    answer = await stranger.post("/v1/users", json=ADA)
    assert answer.status_code == 201


async def test_a_retry_after_a_failure_of_the_log_need_not_wait(
    world: ApiWorld, stranger: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(append: object) -> None:
        raise LogUnavailable("the disk is full")

    with monkeypatch.context() as failing:
        failing.setattr(world.log, "append", fail)
        answer = await stranger.post("/v1/users", json=ADA)
        assert answer.status_code == 503
    other = ADA | {"handle": "eve", "password": "another one"}
    assert (await stranger.post("/v1/users", json=other)).status_code == 409
    assert (await stranger.post("/v1/users", json=ADA)).status_code == 201
    assert (await stranger.post("/v1/sessions", json=SESSION)).status_code == 201


async def test_a_registration_whose_account_was_lost_gets_it_when_sent_again(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    key = {"Idempotency-Key": "k1"}
    first = await stranger.post("/v1/users", json=ADA, headers=key)
    await world.accounts.remove(int(first.json()["id"]))
    assert (await stranger.post("/v1/sessions", json=SESSION)).status_code == 401
    again = await stranger.post("/v1/users", json=ADA, headers=key)
    assert again.json()["id"] == first.json()["id"]
    assert (await stranger.post("/v1/sessions", json=SESSION)).status_code == 201


async def test_a_profile_changes_in_part(world: ApiWorld) -> None:
    ada = await register_user(world, "ada", "Ada")
    await ada.send_command("PATCH", "/v1/users/me", {"bio": "Analyst"})
    await ada.send_command("PATCH", "/v1/users/me", {"name": "Countess"})
    me = await ada.get_json("/v1/users/me")
    assert (me["name"], me["bio"], me["handle"]) == ("Countess", "Analyst", "ada")


async def test_the_email_is_shown_to_oneself_alone(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    assert (await ada.get_json("/v1/users/@ada"))["email"] == "ada@example.org"
    assert "email" not in await bob.get_json("/v1/users/@ada")
    answer = await world.new_client().get(f"/v1/users/{ada.id}")
    assert "email" not in answer.json()
    User.model_validate_json(answer.content)


async def test_leaving_erases_the_account_and_hides_the_posts(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    post = await ada.create_post("hello")
    await bob.send_command("PUT", "/v1/users/@ada/follow")
    assert len(await bob.get_json("/v1/timelines/home")) == 1
    assert await ada.send_command("DELETE", "/v1/users/me") == {"id": ada.id, "deleted": True}
    await world.project_all()
    assert await world.accounts.get(int(ada.id)) is None
    assert (await stranger.get(f"/v1/users/{ada.id}")).status_code == 404
    assert (await stranger.get("/v1/users/@ada")).status_code == 404
    assert (await stranger.get(f"/v1/posts/{post}")).status_code == 404
    assert await bob.get_json("/v1/timelines/home") == []
    assert await bob.get_json(f"/v1/users/{bob.id}/following") == []


async def test_a_deleted_accounts_token_is_worthless(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    await ada.send_command("DELETE", "/v1/users/me")
    command = await ada.http.post("/v1/posts", json={"text": "ghost"})
    assert (command.status_code, command.json()["type"]) == (401, "/problems/account-deleted")
    await world.project_all()
    question = await ada.http.get("/v1/timelines/public")
    assert (question.status_code, question.json()["type"]) == (401, "/problems/account-gone")
    again = await ada.http.delete("/v1/users/me")
    assert again.status_code == 200


async def test_a_deleted_accounts_token_brings_no_account_back(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    await ada.send_command("DELETE", "/v1/users/me")
    ghost = {"email": "ghost@example.org", "password": "battery staple"}
    answer = await ada.http.patch("/v1/users/me", json=ghost)
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/account-deleted")
    assert await world.accounts.find_by_email("ghost@example.org") is None


async def test_a_registration_sent_again_after_leaving_keeps_nothing(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    key = {"Idempotency-Key": "k1"}
    first = await stranger.post("/v1/users", json=ADA, headers=key)
    await world.new_client(first.json()["token"]).delete("/v1/users/me")
    answer = await stranger.post("/v1/users", json=ADA, headers=key)
    assert answer.status_code == 401
    assert await world.accounts.find_by_email(ADA["email"]) is None


async def test_the_email_of_a_deleted_account_is_free_even_where_a_crash_kept_it(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = await register_user(world, "ada")
    kept = await world.accounts.get(int(ada.id))
    assert kept is not None
    await ada.send_command("DELETE", "/v1/users/me")
    await world.accounts.put(kept)
    answer = await stranger.post(
        "/v1/users", json=ADA | {"handle": "ada2", "password": "battery staple"}
    )
    assert answer.status_code == 201


async def test_a_change_refused_for_the_name_changes_no_password(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = await register_user(world, "ada")
    change = {"name": " ", "password": "battery staple", "current_password": PASSWORD}
    answer = await ada.http.patch("/v1/users/me", json=change)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/name-empty")
    assert (await stranger.post("/v1/sessions", json=SESSION)).status_code == 201


@pytest.mark.parametrize(
    "email", ["ada@example.org\n", "ada@example.org\0", "a\0da@example.org", "ada@example.org\x1f"]
)
async def test_an_email_with_a_control_character_makes_no_account(
    world: ApiWorld, stranger: httpx.AsyncClient, email: str
) -> None:
    ada = await register_user(world, "ada")
    body = ADA | {"handle": "eve", "email": email}
    assert (await stranger.post("/v1/users", json=body)).status_code == 422
    change = {"email": email, "current_password": PASSWORD}
    assert (await ada.http.patch("/v1/users/me", json=change)).status_code == 422
    assert (await ada.http.get("/v1/users/me")).json()["email"] == "ada@example.org"


async def test_white_space_around_a_key_is_no_part_of_it(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = await register_user(world, "ada")
    answers = [
        await ada.http.post("/v1/posts", json={"text": "once"}, headers={"Idempotency-Key": key})
        for key in ("k", "k ", " k\t", "k")
    ]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    joined = [
        await stranger.post(
            "/v1/users",
            json=ADA | {"handle": "bob", "email": "bob@example.org"},
            headers={"Idempotency-Key": key},
        )
        for key in ("k", "k ")
    ]
    assert {answer.status_code for answer in joined} == {201}


async def test_a_changed_profile_is_answered_as_the_user(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    changed = await ada.send_command("PATCH", "/v1/users/me", {"name": "Ada L.", "bio": "counts"})
    assert changed == await ada.get_json("/v1/users/me")
    assert (changed["name"], changed["bio"], changed["handle"]) == ("Ada L.", "counts", "ada")


async def test_lines_end_in_one_way_in_every_text_whatever_a_form_sends(world: ApiWorld) -> None:
    sent, kept = "one\r\n\r\ntwo\rthree", "one\n\ntwo\nthree"
    async with world.new_client() as stranger:
        made = await stranger.post("/v1/users", json=ADA | {"bio": sent})
    assert made.json()["bio"] == kept
    ada = SignedInUser(world, made.json(), made.json()["token"])
    head = world.log.head()
    assert (await ada.send_command("PATCH", "/v1/users/me", {"bio": sent}))["bio"] == kept
    assert world.log.head() == head
    form = {"note": f"{sent}!"}
    client = await ada.http.patch("/api/v1/accounts/update_credentials", data=form)
    assert client.json()["source"]["note"] == f"{kept}!"
    new = {"text": sent, "spoiler_text": sent}
    post = await ada.send_command("POST", "/v1/posts", new)
    assert (post["text"], post["spoiler_text"]) == (kept, kept)
    edited = await ada.send_command("PATCH", f"/v1/posts/{post['id']}", {"text": f"{sent}!"})
    assert edited["text"] == f"{kept}!"
    image = {"file": ("a.png", image_bytes())}
    upload = await ada.http.post("/v1/media", files=image, data={"alt": sent})
    assert upload.json()["alt"] == kept


@pytest.mark.parametrize("end", ["\n", "\x00", "\r\n", " \n", "\u2028"])
async def test_an_address_that_ends_in_a_control_character_is_refused(
    world: ApiWorld, stranger: httpx.AsyncClient, end: str
) -> None:
    await register_user(world, "ada")
    body = {"handle": "eve", "name": "Eve", "email": f"ada@example.org{end}", "password": PASSWORD}
    answer = await stranger.post("/v1/users", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-body")
    assert "email" in answer.json()["detail"]
