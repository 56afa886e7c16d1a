"""Sessions: listed, ended, and what ends them."""

from tests.support.api_world import PASSWORD, ApiWorld, register_user
from tests.support.api_world import SignedInUser as User

MINUTE = 60


async def sign_in(world: ApiWorld, user: User) -> User:
    async with world.new_client() as stranger:
        body = {"handle": user.handle, "password": PASSWORD}
        answer = await stranger.post("/v1/sessions", json=body)
    return User(world, {"id": user.id, "handle": user.handle}, answer.json()["token"])


async def status(user: User) -> int:
    return (await user.http.get("/v1/timelines/home")).status_code


async def test_a_user_lists_sessions_and_ends_them(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    phone = await sign_in(world, ada)
    sessions = await ada.get_json("/v1/users/me/sessions")
    assert [one["scopes"] for one in sessions] == [["user"], ["user"]]
    assert sum(one["current"] for one in sessions) == 1
    (other,) = [one["id"] for one in sessions if not one["current"]]
    assert (await bob.http.delete(f"/v1/users/me/sessions/{other}")).status_code == 404
    assert await status(phone) == 200
    await ada.send_command("DELETE", f"/v1/users/me/sessions/{other}")
    assert (await status(ada), await status(phone), await status(bob)) == (200, 401, 200)


async def test_signing_out_ends_the_current_session(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    await ada.send_command("DELETE", "/v1/users/me/sessions/current")
    assert await status(ada) == 401


async def test_another_password_ends_the_other_sessions(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    phone = await sign_in(world, ada)
    change = {"password": "battery staple", "current_password": PASSWORD}
    await ada.send_command("PATCH", "/v1/users/me", change)
    assert (await status(ada), await status(phone)) == (200, 401)


async def test_deleting_an_account_needs_its_password_some_time_after_signing_in(
    world: ApiWorld,
) -> None:
    ada = await register_user(world, "ada")
    phone = await sign_in(world, ada)
    world.clock.sleep(15 * MINUTE)
    for body in (None, {"password": "a guess"}):
        refused = await ada.http.request("DELETE", "/v1/users/me", json=body)
        assert (refused.status_code, refused.json()["type"]) == (
            403,
            "/problems/credentials-wrong",
        )
    await ada.send_command("DELETE", "/v1/users/me", {"password": PASSWORD})
    assert await status(phone) == 401
    await world.project_all()
    assert (await status(ada), await status(phone)) == (401, 401)


async def test_a_token_of_an_app_does_what_its_scopes_say(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    tokens = world.access_tokens
    read = world.new_client(await tokens.issue(int(ada.id), ("read",), app=1))
    write = world.new_client(await tokens.issue(int(ada.id), ("write:statuses",), app=1))
    alone = world.new_client(await tokens.issue(0, ("read", "write"), app=1))
    for client, home, post, leave in (
        (read, 200, 403, 403),
        (write, 403, 201, 403),
        (alone, 422, 422, 403),
    ):
        assert (await client.get("/v1/timelines/home")).status_code == home
        assert (await client.post("/v1/posts", json={"text": "hi"})).status_code == post
        assert (await client.delete("/v1/users/me")).status_code == leave
