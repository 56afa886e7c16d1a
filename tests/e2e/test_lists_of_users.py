"""Followers, likers and the like: whom a reader is shown in lists of people."""

from tests.support.api_world import ApiWorld, SignedInUser, register_user


async def handles(reader: SignedInUser, path: str, **query: str) -> list[str]:
    return [user["handle"] for user in await reader.get_json(path, **query)]


async def town(world: ApiWorld) -> tuple[list[SignedInUser], list[str]]:
    """Ada, Bob and Eve, who each follow, are followed, like and retweet; the lists of them."""
    ada, bob, eve, zoe = [await register_user(world, name) for name in ("ada", "bob", "eve", "zoe")]
    post = await zoe.create_post("hello")
    for one in (ada, bob, eve):
        await one.send_command("PUT", f"/v1/posts/{post}/like")
        await one.send_command("PUT", f"/v1/posts/{post}/retweet")
        await one.send_command("PUT", "/v1/users/@zoe/follow")
        await zoe.send_command("PUT", f"/v1/users/@{one.handle}/follow")
    return [ada, bob, eve, zoe], [
        f"/v1/posts/{post}/likes",
        f"/v1/posts/{post}/retweets",
        "/v1/users/@zoe/followers",
        "/v1/users/@zoe/following",
    ]


async def test_users_who_block_one_another_stand_in_no_list_of_the_other(world: ApiWorld) -> None:
    (ada, bob, eve, zoe), lists = await town(world)
    await ada.send_command("PUT", "/v1/users/@bob/block")
    async with world.new_client() as stranger:
        for path in lists:
            assert await handles(ada, path) == ["eve", "ada"], path
            assert await handles(bob, path) == ["eve", "bob"], path
            assert await handles(eve, path) == await handles(zoe, path) == ["eve", "bob", "ada"]
            assert [one["handle"] for one in (await stranger.get(path)).json()] == [
                "eve", "bob", "ada",
            ]  # fmt: skip
    await ada.send_command("DELETE", "/v1/users/@bob/block")
    for path in lists:
        assert await handles(ada, path) == await handles(bob, path) == ["eve", "bob", "ada"]


async def test_a_walk_through_a_list_goes_on_behind_a_page_of_blocked_users(
    world: ApiWorld,
) -> None:
    (ada, _, _, _), lists = await town(world)
    await ada.send_command("PUT", "/v1/users/@bob/block")
    await ada.send_command("PUT", "/v1/users/@eve/block")
    await world.project_all()
    for path in lists:
        found, address = list[str](), f"{path}?limit=1"
        while address:
            answer = await ada.http.get(address)
            found += [user["handle"] for user in answer.json()]
            address = answer.links.get("next", {}).get("url", "")
        assert found == ["ada"], path


async def test_a_mute_hides_what_a_user_posts_and_not_the_user(world: ApiWorld) -> None:
    (ada, _, _, _), lists = await town(world)
    await ada.send_command("PUT", "/v1/users/@bob/mute")
    for path in lists:
        assert await handles(ada, path) == ["eve", "bob", "ada"], path


async def test_nothing_is_listed_of_a_user_whom_a_block_stands_between(world: ApiWorld) -> None:
    (ada, _, _, zoe), _ = await town(world)
    await ada.send_command("PUT", "/v1/users/@zoe/block")
    for path in ("followers", "following", "posts"):
        assert await ada.get_json(f"/v1/users/@zoe/{path}") == []
        assert await zoe.get_json(f"/v1/users/@ada/{path}") == []


async def test_a_list_can_be_read_behind_ones_own_block(world: ApiWorld) -> None:
    (ada, _, _, _), lists = await town(world)
    await world.project_all()
    answer = await ada.http.put("/v1/users/@bob/block")
    position = answer.headers["starling-position"]
    for path in lists:
        shown = await ada.http.get(path, headers={"Starling-Position": position})
        assert [user["handle"] for user in shown.json()] == ["eve", "ada"], path


async def test_ones_own_lists_are_found_under_me_with_a_token(world: ApiWorld) -> None:
    (_, _, _, zoe), _ = await town(world)
    for name in ("followers", "following"):
        assert await handles(zoe, f"/v1/users/me/{name}") == ["eve", "bob", "ada"]
        async with world.new_client() as stranger:
            answer = await stranger.get(f"/v1/users/me/{name}")
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/token-missing")
