"""Recommendations over HTTP."""

from api.accounts.access_tokens import OPERATOR_SCOPE
from tests.support.api_world import ApiWorld, SignedInUser, register_user

DAY_MS = 86_400_000


async def follow(user: SignedInUser, *others: SignedInUser) -> None:
    for other in others:
        await user.send_command("PUT", f"/v1/users/{other.id}/follow")


async def handles(user: SignedInUser) -> list[str]:
    found = await user.get_json("/v1/recommendations/users")
    return [one["user"]["handle"] for one in found]


async def test_users_are_recommended_with_the_reason(world: ApiWorld) -> None:
    ada, bob, cat, dan, eve = [await register_user(world, f"{n}_x") for n in "abcde"]
    await follow(ada, bob, cat)
    await follow(bob, dan)
    await follow(cat, dan, eve)
    await follow(eve, bob, dan)
    [first, second] = await ada.get_json("/v1/recommendations/users")
    assert first["user"] == await ada.get_json(f"/v1/users/{dan.id}")
    assert first["reason"] == {
        "kind": "followed_by",
        "text": "followed by @b_x and 1 other you follow",
        "users": [
            {"id": bob.id, "handle": "b_x", "name": "B_X"},
            {"id": cat.id, "handle": "c_x", "name": "C_X"},
        ],
        "others": 0,
    }
    assert second["user"]["handle"] == "e_x"
    assert second["reason"]["text"] == "followed by @c_x"
    newcomer = await register_user(world, "newcomer")
    best, *_ = await newcomer.get_json("/v1/recommendations/users", limit=1)
    assert (best["user"]["handle"], best["reason"]["kind"]) == ("d_x", "popular")


async def test_a_dismissed_user_is_not_recommended_again_and_dismissing_twice_is_one_event(
    world: ApiWorld,
) -> None:
    ada, bob, cat = [await register_user(world, f"{n}_x") for n in "abc"]
    await follow(bob, cat)
    assert await handles(ada) == ["c_x"]
    head = world.log.head()
    for _ in range(2):
        done = await ada.send_command("DELETE", "/v1/recommendations/users/@c_x")
        assert done == {"id": cat.id, "dismissed": True}
    assert len(world.log.read_all(head)) == 1
    assert await handles(ada) == []


async def test_muted_blocked_and_deleted_users_are_not_recommended(world: ApiWorld) -> None:
    ada, bob, cat, dan, eve, fay = [await register_user(world, f"{n}_x") for n in "abcdef"]
    await follow(bob, cat, dan, eve, fay)
    assert len(await handles(ada)) == 4
    await ada.send_command("PUT", f"/v1/users/{cat.id}/mute")
    await ada.send_command("PUT", f"/v1/users/{dan.id}/block")
    await eve.send_command("DELETE", "/v1/users/me", {"password": "correct horse"})
    assert await handles(ada) == ["f_x"]


async def test_posts_that_the_followed_like_are_recommended_until_they_are_old_or_seen(
    world: ApiWorld,
) -> None:
    ada, bob, cat, dan = [await register_user(world, f"{n}_x") for n in "abcd"]
    old = await dan.create_post("old")
    await bob.send_command("PUT", f"/v1/posts/{old}/like")
    world.clock.ms += 3 * DAY_MS + 1
    await follow(ada, bob, cat)
    liked, passed_on = await dan.create_post("liked"), await dan.create_post("passed on")
    own, of_followed = await ada.create_post("own"), await cat.create_post("of a followed")
    for post in (liked, own, of_followed):
        await bob.send_command("PUT", f"/v1/posts/{post}/like")
    for user in (bob, cat):
        await user.send_command("PUT", f"/v1/posts/{passed_on}/retweet")
    found = await ada.get_json("/v1/recommendations/posts")
    assert [(one["post"]["text"], one["reason"]["text"]) for one in found] == [
        ("passed on", "retweeted by @b_x and 1 other you follow"),
        ("liked", "liked by @b_x"),
    ]
    assert found[0]["post"] == await ada.get_json(f"/v1/posts/{passed_on}")
    await ada.send_command("PUT", f"/v1/posts/{passed_on}/like")
    await ada.send_command("POST", f"/v1/posts/{liked}/comments", {"text": "yes"})
    assert await ada.get_json("/v1/recommendations/posts") == []


async def test_recommendations_need_a_token(world: ApiWorld) -> None:
    async with world.new_client() as stranger:
        for path in ("users", "posts"):
            assert (await stranger.get(f"/v1/recommendations/{path}")).status_code == 401
        assert (await stranger.delete("/v1/recommendations/users/7")).status_code == 401


async def test_a_page_is_full_although_a_suspended_account_would_have_been_on_it(
    world: ApiWorld,
) -> None:
    ada, bob, cat, dan, eve = [await register_user(world, f"{n}_x") for n in "abcde"]
    await follow(ada, bob)
    await follow(bob, cat, dan)
    await follow(eve, cat)
    for author in (cat, dan):
        post = await author.create_post("hello")
        await bob.send_command("PUT", f"/v1/posts/{post}/like")
    [first] = await ada.get_json("/v1/recommendations/users", limit=1)
    best = first["user"]["id"]
    token = world.tokens.issue(int(eve.id), (OPERATOR_SCOPE,))
    operator = SignedInUser(world, {"id": eve.id, "handle": eve.handle}, token)
    await operator.send_command("PUT", f"/v1/users/{best}/suspension", {"reason": "Spam"})
    rest = {cat.id, dan.id} - {best}
    users = await ada.get_json("/v1/recommendations/users", limit=1)
    assert [one["user"]["id"] for one in users] == list(rest)
    suggested = await ada.get_json("/api/v1/suggestions", limit=1)
    assert [one["id"] for one in suggested] == list(rest)
    posts = await ada.get_json("/v1/recommendations/posts", limit=1)
    assert [one["post"]["posted_by"]["id"] for one in posts] == list(rest)
