"""Timelines over HTTP: what they show, how they are walked."""

import re
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from api.schemas import Post
from api.views.trends import Trend
from tests.support.api_world import (
    WITH_AND_WITHOUT_FAST_PATH,
    ApiWorld,
    SignedInUser,
    post_texts,
    register_user,
)

pytestmark = WITH_AND_WITHOUT_FAST_PATH


def link(answer: httpx.Response, rel: str) -> str | None:
    found = re.search(rf'<([^>]*)>; rel="{rel}"', answer.headers.get("Link", ""))
    return found[1] if found else None


async def walk(reader: SignedInUser, path: str, rel: str = "next") -> list[dict[str, Any]]:
    """Every entry that a walk along the links finds."""
    await reader.world.project_all()
    found: list[dict[str, Any]] = []
    address: str | None = path
    while address is not None:
        answer = await reader.http.get(address)
        assert answer.status_code == 200
        found += answer.json()
        address = link(answer, rel) if answer.json() else None
    return found


async def test_a_page_has_twenty_posts_and_at_most_forty(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    for number in range(45):
        await ada.create_post(str(number))
    for path in ("/v1/timelines/public", "/v1/timelines/home", "/v1/users/@ada/posts"):
        assert post_texts(await ada.get_json(path)) == [str(n) for n in range(44, 24, -1)]
        assert len(await ada.get_json(path, limit=100)) == 40
        assert len(await ada.get_json(path, limit=3)) == 3


@pytest.mark.parametrize("path", ["/v1/timelines/public", "/v1/timelines/home",
                                  "/v1/users/@ada/posts", "/v1/hashtags/a/posts"])  # fmt: skip
async def test_a_walk_shows_each_post_once_and_misses_none(world: ApiWorld, path: str) -> None:
    ada = await register_user(world, "ada")
    made = [await ada.create_post(f"{number} #a") for number in range(25)]
    assert [p["id"] for p in await walk(ada, f"{path}?limit=4")] == made[::-1]


async def test_a_walk_is_not_disturbed_by_who_writes_meanwhile(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    made = [await ada.create_post(str(number)) for number in range(6)]
    await world.project_all()
    first = await ada.http.get("/v1/timelines/home?limit=4")
    await ada.create_post("late")
    await world.project_all()
    rest = await walk(ada, link(first, "next") or "")
    assert [p["id"] for p in first.json() + rest] == made[::-1]


async def test_the_link_to_what_is_newer_finds_it_and_keeps_other_parameters(
    world: ApiWorld,
) -> None:
    ada = await register_user(world, "ada")
    for number in range(3):
        await ada.create_post(str(number))
    await world.project_all()
    first = await ada.http.get("/v1/timelines/public?limit=2")
    for number in range(3, 8):
        await ada.create_post(str(number))
    newer = await walk(ada, link(first, "prev") or "", rel="prev")
    assert "limit=2" in (link(first, "prev") or "")
    assert post_texts(newer) == ["4", "3", "6", "5", "7"]


async def test_bounds_leave_out_what_they_name(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    ids = [await ada.create_post(str(number)) for number in range(6)]
    path = "/v1/users/@ada/posts"
    assert post_texts(await ada.get_json(path, max_id=ids[2])) == ["1", "0"]
    assert post_texts(await ada.get_json(path, since_id=ids[2], limit=2)) == ["5", "4"]
    assert post_texts(await ada.get_json(path, min_id=ids[2], limit=2)) == ["4", "3"]


@pytest.mark.parametrize("limit", ["999999999", "1000000000", "9" * 19, "9" * 40])
async def test_a_limit_above_the_most_means_the_most_however_long_it_is(
    world: ApiWorld, limit: str
) -> None:
    ada = await register_user(world, "ada")
    for number in range(42):
        await ada.create_post(str(number))
    for path in ("/v1/timelines/public", "/v1/users/@ada/posts"):
        assert len(await ada.get_json(path, limit=limit)) == 40
    assert await ada.get_json("/v1/trends", limit=limit) == []


@pytest.mark.parametrize("path", ["/v1/timelines/public", "/v1/users/@ada/followers"])
async def test_a_page_that_makes_no_sense_is_refused(world: ApiWorld, path: str) -> None:
    ada = await register_user(world, "ada")
    await world.project_all()
    answer = await ada.http.get(path, params={"limit": "many"})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-query")


async def test_lists_of_users_are_walked_too(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    post = await ada.create_post("hello")
    fans = [await register_user(world, f"fan{number}") for number in range(7)]
    for fan in fans:
        await fan.send_command("PUT", "/v1/users/@ada/follow")
        await fan.send_command("PUT", f"/v1/posts/{post}/like")
        await fan.send_command("PUT", f"/v1/posts/{post}/retweet")
    for path in ("/v1/users/@ada/followers", f"/v1/posts/{post}/likes",
                 f"/v1/posts/{post}/retweets"):  # fmt: skip
        found = await walk(ada, f"{path}?limit=3")
        assert [u["handle"] for u in found] == [fan.handle for fan in fans[::-1]]


async def test_home_shows_followed_people_oneself_and_what_they_retweet(world: ApiWorld) -> None:
    ada, bob, eve = [await register_user(world, handle) for handle in ("ada", "bob", "eve")]
    far = await eve.create_post("from eve")
    await eve.create_post("unseen")
    await ada.send_command("PUT", "/v1/users/@bob/follow")
    await bob.create_post("from bob")
    await ada.create_post("from ada")
    await bob.send_command("PUT", f"/v1/posts/{far}/retweet")
    home = await ada.get_json("/v1/timelines/home")
    assert post_texts(home) == ["from eve", "from ada", "from bob"]
    assert home[0]["id"] == far
    assert home[0]["retweeted_by"] == {"id": bob.id, "handle": "bob", "name": "Bob"}
    assert "retweeted_by" not in home[1]
    await ada.send_command("PUT", "/v1/users/@eve/follow")
    assert post_texts(await ada.get_json("/v1/timelines/home")) == [
        "from ada", "from bob", "unseen", "from eve",
    ]  # fmt: skip


async def test_home_shows_what_one_retweeted_oneself_until_it_is_taken_back(
    world: ApiWorld,
) -> None:
    ada, bob, eve = [await register_user(world, handle) for handle in ("ada", "bob", "eve")]
    far = await eve.create_post("from eve")
    await ada.send_command("PUT", "/v1/users/@bob/follow")
    near = await bob.create_post("from bob")
    assert post_texts(await ada.get_json("/v1/timelines/home")) == ["from bob"]
    await ada.send_command("PUT", f"/v1/posts/{far}/retweet")
    await ada.send_command("PUT", f"/v1/posts/{near}/retweet")
    home = await ada.get_json("/v1/timelines/home")
    assert post_texts(home) == ["from eve", "from bob"]
    assert home[0]["retweeted_by"] == {"id": ada.id, "handle": "ada", "name": "Ada"}
    assert "retweeted_by" not in home[1]
    await ada.send_command("DELETE", f"/v1/posts/{far}/retweet")
    assert post_texts(await ada.get_json("/v1/timelines/home")) == ["from bob"]


async def test_home_needs_a_token(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/v1/timelines/home")
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/token-missing")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_what_changes_shows_at_once_although_pages_are_cached(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada", "Ada"), await register_user(world, "bob")
    await bob.send_command("PUT", "/v1/users/@ada/follow")
    post = await ada.create_post("hello")
    assert (await bob.get_json("/v1/timelines/home"))[0]["likes"] == 0
    await bob.send_command("PUT", f"/v1/posts/{post}/like")
    assert [(await bob.get_json("/v1/timelines/home"))[0][key] for key in ("likes", "liked")] == [
        1,
        True,
    ]
    await ada.send_command("PATCH", "/v1/users/me", {"name": "Countess"})
    assert (await bob.get_json("/v1/timelines/home"))[0]["posted_by"]["name"] == "Countess"
    await ada.send_command("PATCH", f"/v1/posts/{post}", {"text": "changed"})
    assert post_texts(await bob.get_json("/v1/timelines/home")) == ["changed"]
    await bob.send_command("DELETE", "/v1/users/@ada/follow")
    assert await bob.get_json("/v1/timelines/home") == []


async def test_a_hashtag_is_found_in_any_case_with_and_without_its_sign(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    await ada.create_post("#Straße")
    await ada.create_post("#other")
    for tag in ("Straße", "STRASSE", "%23straße"):
        assert post_texts(await ada.get_json(f"/v1/hashtags/{tag}/posts")) == ["#Straße"]


async def test_posts_fit_their_schema(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    post = await ada.create_post('a "b" #c @d')
    await bob.create_post("e", reply_to=post)
    await bob.send_command("PUT", f"/v1/posts/{post}/retweet")
    await bob.send_command("PATCH", f"/v1/posts/{await bob.create_post('f')}", {"text": "g"})
    carl = await register_user(world, "carl")
    await carl.send_command("PUT", "/v1/users/@bob/follow")
    await world.project_all()
    answer = await carl.http.get("/v1/timelines/home")
    posts = TypeAdapter(list[Post]).validate_json(answer.content)
    assert {post.text for post in posts} == {'a "b" #c @d', "e", "g"}
    assert [post.model_dump(exclude_none=True) for post in posts] == answer.json()


async def test_trends_show_what_many_use_now(world: ApiWorld, stranger: httpx.AsyncClient) -> None:
    for number in range(6):
        user = await register_user(world, f"user{number}")
        await user.create_post("so #cold today #cold")
    await world.project_all()
    answer = await stranger.get("/v1/trends")
    (trend,) = TypeAdapter(list[Trend]).validate_json(answer.content)
    assert (trend.tag, trend.uses, trend.accounts, trend.score) == ("cold", 6, 6, 12.0)
    assert trend.history[-1].accounts == 6
    assert await user.get_json("/v1/trends", at="2026-02-01T00:00:00Z") == []
    later = await user.http.get("/v1/trends", params={"at": "soon"})
    assert (later.status_code, later.json()["type"]) == (422, "/problems/time-invalid")


async def test_a_tag_that_is_longer_than_any_text_is_refused_at_once(
    stranger: httpx.AsyncClient,
) -> None:
    answer = await stranger.get(f"/v1/hashtags/{'%CC%95%CC%80' * 1000}/posts")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-query")


async def test_retweets_stand_on_the_retweeters_page_with_who_retweeted(world: ApiWorld) -> None:
    ada, bob, eve = [await register_user(world, name) for name in ("ada", "bob", "eve")]
    first = await ada.create_post("first")
    await bob.create_post("by bob")
    await bob.send_command("PUT", f"/v1/posts/{first}/retweet")
    await ada.create_post("second")
    await bob.send_command("PUT", f"/v1/posts/{await eve.create_post('by eve')}/retweet")
    page = await bob.get_json("/v1/users/@bob/posts")
    assert [(post["text"], post.get("retweeted_by", {}).get("handle")) for post in page] == [
        ("by eve", "bob"), ("first", "bob"), ("by bob", None),
    ]  # fmt: skip
    assert page[1]["posted_by"]["handle"] == "ada"
    for by_id in (True, False):
        assert post_texts(await walk_user_page(ada, by_id)) == ["by eve", "first", "by bob"]
    await ada.send_command("PUT", "/v1/users/@eve/mute")
    assert post_texts(await ada.get_json("/v1/users/me/posts")) == ["second", "first"]
    assert post_texts(await ada.get_json("/v1/users/@bob/posts")) == ["first", "by bob"]
    await ada.send_command("DELETE", f"/v1/posts/{first}")
    assert post_texts(await eve.get_json("/v1/users/@bob/posts")) == ["by eve", "by bob"]
    await bob.send_command("DELETE", f"/v1/posts/{page[0]['id']}/retweet")
    assert post_texts(await eve.get_json("/v1/users/@bob/posts")) == ["by bob"]


async def walk_user_page(reader: SignedInUser, by_id: bool) -> list[dict[str, Any]]:
    """Bob's posts a page of one at a time, by the id of the last post or by `Link`."""
    address: str | None = "/v1/users/@bob/posts?limit=1"
    found: list[dict[str, Any]] = []
    while address:
        answer = await reader.http.get(address)
        found += answer.json()
        following = link(answer, "next")
        if by_id and answer.json():
            following = f"/v1/users/@bob/posts?limit=1&max_id={answer.json()[-1]['id']}"
        address = following
    return found
