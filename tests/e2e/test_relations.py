"""Likes, retweets, follows, blocks and mutes over HTTP."""

import pytest

from tests.support.api_world import WITH_AND_WITHOUT_FAST_PATH, ApiWorld, post_texts, register_user

pytestmark = WITH_AND_WITHOUT_FAST_PATH

TO_POST = ["like", "retweet"]
TO_USER = ["follow", "block", "mute"]
FIELDS = {
    "like": "liked", "retweet": "retweeted", "follow": "followed", "block": "blocked",
    "mute": "muted",
}  # fmt: skip


@pytest.mark.parametrize("relation", TO_POST + TO_USER)
async def test_a_relation_asked_for_twice_makes_one_event(world: ApiWorld, relation: str) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    about = await ada.create_post("hello") if relation in TO_POST else ada.id
    path = f"/v1/{'posts' if relation in TO_POST else 'users'}/{about}/{relation}"
    for method, holds in (("PUT", True), ("DELETE", False)):
        head = world.log.head()
        for _ in range(2):
            answer = await bob.http.request(method, path)
            assert answer.status_code == 200
            assert answer.json() == {"id": about, FIELDS[relation]: holds}
            assert answer.headers["Starling-Position"] == str(world.log.head())
        assert len(world.log.read_all(head)) == 1


async def test_likes_and_retweets_are_counted_listed_and_marked(world: ApiWorld) -> None:
    ada, bob, eve = [await register_user(world, handle) for handle in ("ada", "bob", "eve")]
    post = await ada.create_post("hello")
    assert (await bob.get_json(f"/v1/posts/{post}"))["liked"] is False
    await bob.send_command("PUT", f"/v1/posts/{post}/like")
    await eve.send_command("PUT", f"/v1/posts/{post}/like")
    await eve.send_command("PUT", f"/v1/posts/{post}/retweet")
    seen = await bob.get_json(f"/v1/posts/{post}")
    assert (seen["likes"], seen["retweets"], seen["liked"], seen["retweeted"]) == (
        2,
        1,
        True,
        False,
    )
    assert [u["handle"] for u in await bob.get_json(f"/v1/posts/{post}/likes")] == ["eve", "bob"]
    assert [u["handle"] for u in await bob.get_json(f"/v1/posts/{post}/retweets")] == ["eve"]
    await bob.send_command("DELETE", f"/v1/posts/{post}/like")
    seen = await bob.get_json(f"/v1/posts/{post}")
    assert (seen["likes"], seen["liked"]) == (1, False)
    assert "liked" not in (await world.new_client().get(f"/v1/posts/{post}")).json()


async def test_follows_are_counted_listed_and_marked(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    assert (await bob.get_json("/v1/users/@ada"))["followed"] is False
    await bob.send_command("PUT", "/v1/users/@ADA/follow")
    seen = await bob.get_json(f"/v1/users/{ada.id}")
    assert (seen["followers"], seen["following"], seen["followed"]) == (1, 0, True)
    assert [u["handle"] for u in await ada.get_json("/v1/users/@ada/followers")] == ["bob"]
    assert [u["handle"] for u in await ada.get_json("/v1/users/@bob/following")] == ["ada"]
    assert "followed" not in await bob.get_json("/v1/users/me")


@pytest.mark.parametrize("relation", TO_USER)
async def test_no_user_relates_to_themselves(world: ApiWorld, relation: str) -> None:
    ada = await register_user(world, "ada")
    answer = await ada.http.put(f"/v1/users/@ada/{relation}")
    assert (answer.status_code, answer.json()["type"]) == (422, f"/problems/self-{relation}")


@pytest.mark.parametrize("ref", ["@missing", "12345", "me2", "@", "key:x"])
async def test_a_user_that_does_not_exist_can_not_be_followed(world: ApiWorld, ref: str) -> None:
    ada = await register_user(world, "ada")
    answer = await ada.http.put(f"/v1/users/{ref}/follow")
    assert answer.status_code in (404, 422)
    assert answer.json()["type"] in ("/problems/user-not-found", "/problems/reference-invalid")


async def test_a_block_ends_follows_and_keeps_both_out(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    post = await ada.create_post("hello")
    await bob.send_command("PUT", "/v1/users/@ada/follow")
    await ada.send_command("PUT", "/v1/users/@bob/follow")
    await ada.send_command("PUT", "/v1/users/@bob/block")
    assert await ada.get_json("/v1/users/@ada/followers") == []
    assert await ada.get_json("/v1/users/@bob/followers") == []
    for path in ("/v1/timelines/home", "/v1/timelines/public", "/v1/users/@ada/posts"):
        assert await bob.get_json(path) == []
    for method, path in (
        ("PUT", f"/v1/posts/{post}/like"),
        ("PUT", f"/v1/posts/{post}/retweet"),
        ("PUT", "/v1/users/@ada/follow"),
    ):
        answer = await bob.http.request(method, path)
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/blocked")
    comment = await bob.http.post(f"/v1/posts/{post}/comments", json={"text": "x"})
    assert comment.status_code == 403


async def test_a_block_hides_a_post_by_its_id_from_both(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    hers, his = await ada.create_post("hello"), await bob.create_post("hello yourself")
    await ada.send_command("PUT", "/v1/users/@bob/block")
    await world.project_all()
    for reader, hidden in ((bob, hers), (ada, his)):
        for path in ("", "/likes", "/retweets", "/comments"):
            answer = await reader.http.get(f"/v1/posts/{hidden}{path}")
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/post-not-found")
    assert (await bob.get_json(f"/v1/posts/{his}"))["text"] == "hello yourself"
    assert (await world.new_client().get(f"/v1/posts/{hers}")).status_code == 200
    await ada.send_command("DELETE", "/v1/users/@bob/block")
    assert (await bob.get_json(f"/v1/posts/{hers}"))["text"] == "hello"


async def test_a_mute_hides_posts_and_comments_from_one_reader(world: ApiWorld) -> None:
    ada, bob, eve = [await register_user(world, handle) for handle in ("ada", "bob", "eve")]
    post = await ada.create_post("question #q")
    await bob.send_command("PUT", "/v1/users/@ada/follow")
    await eve.create_post("noise #q", reply_to=post)
    await bob.send_command("PUT", "/v1/users/@eve/mute")
    assert post_texts(await bob.get_json("/v1/timelines/public")) == ["question #q"]
    assert post_texts(await bob.get_json("/v1/hashtags/q/posts")) == ["question #q"]
    assert await bob.get_json(f"/v1/posts/{post}/comments") == []
    assert post_texts(await ada.get_json(f"/v1/posts/{post}/comments")) == ["noise #q"]
    await bob.send_command("DELETE", "/v1/users/@eve/mute")
    assert post_texts(await bob.get_json(f"/v1/posts/{post}/comments")) == ["noise #q"]


@pytest.mark.parametrize("path", ["", "/posts", "/followers", "/following"])
async def test_lists_of_a_user_that_does_not_exist_are_not_found(
    world: ApiWorld, path: str
) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    await ada.send_command("DELETE", "/v1/users/me")
    await world.project_all()
    for ref in ("12345", "@missing", ada.id, "@ada"):
        answer = await bob.http.get(f"/v1/users/{ref}{path}")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/user-not-found")


async def test_a_removed_follower_follows_no_more_and_may_again(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    await bob.send_command("PUT", "/v1/users/@ada/follow")
    await ada.create_post("for those who follow")
    head = world.log.head()
    for _ in range(2):
        removed = await ada.send_command("DELETE", "/v1/users/me/followers/@bob")
        assert removed == {"id": bob.id, "followed_by": False}
    [stored] = world.log.read_all(head)
    assert (stored.type, stored.actor) == ("user-unfollowed", int(ada.id))
    assert await ada.get_json("/v1/users/@ada/followers") == []
    assert await bob.get_json("/v1/timelines/home") == []
    await bob.send_command("PUT", "/v1/users/@ada/follow")
    assert post_texts(await bob.get_json("/v1/timelines/home")) == ["for those who follow"]
