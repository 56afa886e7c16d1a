"""Timelines over HTTP: what they show, how they are walked."""

import re
from typing import Any

import httpx
import msgspec
import pytest

from api.schemas import Post, Trend
from tests.e2e.world import Person, World, person, texts


def link(answer: httpx.Response, rel: str) -> str | None:
    found = re.search(rf'<([^>]*)>; rel="{rel}"', answer.headers.get("Link", ""))
    return found[1] if found else None


async def walk(reader: Person, path: str, rel: str = "next") -> list[dict[str, Any]]:
    """Every entry that a walk along the links finds."""
    await reader.world.settle()
    found: list[dict[str, Any]] = []
    address: str | None = path
    while address is not None:
        answer = await reader.http.get(address)
        assert answer.status_code == 200
        found += answer.json()
        address = link(answer, rel) if answer.json() else None
    return found


async def test_a_page_has_twenty_posts_and_at_most_forty(world: World) -> None:
    ada = await person(world, "ada")
    for number in range(45):
        await ada.post(str(number))
    for path in ("/v1/timelines/public", "/v1/timelines/home", "/v1/users/@ada/posts"):
        assert texts(await ada.ask(path)) == [str(n) for n in range(44, 24, -1)]
        assert len(await ada.ask(path, limit=100)) == 40
        assert len(await ada.ask(path, limit=3)) == 3


@pytest.mark.parametrize("path", ["/v1/timelines/public", "/v1/timelines/home",
                                  "/v1/users/@ada/posts", "/v1/hashtags/a/posts"])  # fmt: skip
async def test_a_walk_shows_each_post_once_and_misses_none(world: World, path: str) -> None:
    ada = await person(world, "ada")
    made = [await ada.post(f"{number} #a") for number in range(25)]
    assert [p["id"] for p in await walk(ada, f"{path}?limit=4")] == made[::-1]


async def test_a_walk_is_not_disturbed_by_who_writes_meanwhile(world: World) -> None:
    ada = await person(world, "ada")
    made = [await ada.post(str(number)) for number in range(6)]
    await world.settle()
    first = await ada.http.get("/v1/timelines/home?limit=4")
    await ada.post("late")
    await world.settle()
    rest = await walk(ada, link(first, "next") or "")
    assert [p["id"] for p in first.json() + rest] == made[::-1]


async def test_the_link_to_what_is_newer_finds_it_and_keeps_other_parameters(world: World) -> None:
    ada = await person(world, "ada")
    for number in range(3):
        await ada.post(str(number))
    await world.settle()
    first = await ada.http.get("/v1/timelines/public?limit=2")
    for number in range(3, 8):
        await ada.post(str(number))
    newer = await walk(ada, link(first, "prev") or "", rel="prev")
    assert "limit=2" in (link(first, "prev") or "")
    assert texts(newer) == ["4", "3", "6", "5", "7"]


async def test_bounds_leave_out_what_they_name(world: World) -> None:
    ada = await person(world, "ada")
    ids = [await ada.post(str(number)) for number in range(6)]
    path = "/v1/users/@ada/posts"
    assert texts(await ada.ask(path, max_id=ids[2])) == ["1", "0"]
    assert texts(await ada.ask(path, since_id=ids[2], limit=2)) == ["5", "4"]
    assert texts(await ada.ask(path, min_id=ids[2], limit=2)) == ["4", "3"]


@pytest.mark.parametrize("path", ["/v1/timelines/public", "/v1/users/@ada/followers"])
async def test_a_page_that_makes_no_sense_is_refused(world: World, path: str) -> None:
    ada = await person(world, "ada")
    await world.settle()
    answer = await ada.http.get(path, params={"limit": "many"})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-query")


async def test_lists_of_users_are_walked_too(world: World) -> None:
    ada = await person(world, "ada")
    post = await ada.post("hello")
    fans = [await person(world, f"fan{number}") for number in range(7)]
    for fan in fans:
        await fan.do("PUT", "/v1/users/@ada/follow")
        await fan.do("PUT", f"/v1/posts/{post}/like")
        await fan.do("PUT", f"/v1/posts/{post}/retweet")
    for path in ("/v1/users/@ada/followers", f"/v1/posts/{post}/likes",
                 f"/v1/posts/{post}/retweets"):  # fmt: skip
        found = await walk(ada, f"{path}?limit=3")
        assert [u["handle"] for u in found] == [fan.handle for fan in fans[::-1]]


async def test_home_shows_followed_people_oneself_and_what_they_retweet(world: World) -> None:
    ada, bob, eve = [await person(world, handle) for handle in ("ada", "bob", "eve")]
    far = await eve.post("from eve")
    await eve.post("unseen")
    await ada.do("PUT", "/v1/users/@bob/follow")
    await bob.post("from bob")
    await ada.post("from ada")
    await bob.do("PUT", f"/v1/posts/{far}/retweet")
    home = await ada.ask("/v1/timelines/home")
    assert texts(home) == ["from eve", "from ada", "from bob"]
    assert home[0]["id"] == far
    assert home[0]["retweeted_by"] == {"id": bob.id, "handle": "bob", "name": "Bob"}
    assert "retweeted_by" not in home[1]
    await ada.do("PUT", "/v1/users/@eve/follow")
    assert texts(await ada.ask("/v1/timelines/home")) == [
        "from ada", "from bob", "unseen", "from eve",
    ]  # fmt: skip


async def test_home_needs_a_token(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/v1/timelines/home")
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/token-missing")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_what_changes_shows_at_once_although_pages_are_cached(world: World) -> None:
    ada, bob = await person(world, "ada", "Ada"), await person(world, "bob")
    await bob.do("PUT", "/v1/users/@ada/follow")
    post = await ada.post("hello")
    assert (await bob.ask("/v1/timelines/home"))[0]["likes"] == 0
    await bob.do("PUT", f"/v1/posts/{post}/like")
    assert [(await bob.ask("/v1/timelines/home"))[0][key] for key in ("likes", "liked")] == [
        1,
        True,
    ]
    await ada.do("PATCH", "/v1/users/me", {"name": "Countess"})
    assert (await bob.ask("/v1/timelines/home"))[0]["posted_by"]["name"] == "Countess"
    await ada.do("PATCH", f"/v1/posts/{post}", {"text": "changed"})
    assert texts(await bob.ask("/v1/timelines/home")) == ["changed"]
    await bob.do("DELETE", "/v1/users/@ada/follow")
    assert await bob.ask("/v1/timelines/home") == []


async def test_a_hashtag_is_found_in_any_case_with_and_without_its_sign(world: World) -> None:
    ada = await person(world, "ada")
    await ada.post("#Straße")
    await ada.post("#other")
    for tag in ("Straße", "STRASSE", "%23straße"):
        assert texts(await ada.ask(f"/v1/hashtags/{tag}/posts")) == ["#Straße"]


async def test_posts_fit_their_schema(world: World) -> None:
    ada, bob = await person(world, "ada"), await person(world, "bob")
    post = await ada.post('a "b" #c @d')
    await bob.post("e", reply_to=post)
    await bob.do("PUT", f"/v1/posts/{post}/retweet")
    await bob.do("PATCH", f"/v1/posts/{await bob.post('f')}", {"text": "g"})
    carl = await person(world, "carl")
    await carl.do("PUT", "/v1/users/@bob/follow")
    await world.settle()
    answer = await carl.http.get("/v1/timelines/home")
    posts = msgspec.json.decode(answer.content, type=list[Post])
    assert {post.text for post in posts} == {'a "b" #c @d', "e", "g"}
    assert msgspec.json.decode(msgspec.json.encode(posts)) == answer.json()


async def test_trends_show_what_many_use_now(world: World, stranger: httpx.AsyncClient) -> None:
    for number in range(6):
        await (await person(world, f"user{number}")).post("so #cold today #cold")
    await world.settle()
    answer = await stranger.get("/v1/trends")
    (trend,) = msgspec.json.decode(answer.content, type=list[Trend])
    assert (trend.tag, trend.uses, trend.accounts, trend.score) == ("cold", 6, 6, 12.0)
    assert trend.history[-1].accounts == 6
    earlier = await stranger.get("/v1/trends", params={"at": "2026-02-01T00:00:00Z"})
    assert earlier.json() == []
    later = await stranger.get("/v1/trends", params={"at": "soon"})
    assert (later.status_code, later.json()["type"]) == (422, "/problems/time-invalid")
