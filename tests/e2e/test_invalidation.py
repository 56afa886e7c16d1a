"""Lists that were read before a user left, blocked or muted show it when they are read again."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from api.state import ApiState
from projections.home.home_timeline import HomeTimeline
from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.no_rings import NoRings

POSTS = ("home", "page", "public", "hashtag", "comments")
PEOPLE = ("likers", "retweeters", "followers", "following")
EVERY_LIST = {*POSTS, *PEOPLE}


class Town:
    """Bob, who stands in every list, and two readers of the lists: Ada, who follows him, and Zoe,
    whom the lists of people are about."""

    def __init__(self, world: ApiWorld) -> None:
        self.world = world

    async def settle(self) -> None:
        """What makes the lists."""
        world = self.world
        self.ada, self.bob, self.zoe = [
            await register_user(world, name) for name in ("ada", "bob", "zoe")
        ]
        post = await self.zoe.create_post("hello from zoe")
        await self.ada.send_command("PUT", "/v1/users/@bob/follow")
        await self.bob.send_command("PUT", "/v1/users/@ada/follow")
        await self.bob.send_command("PUT", "/v1/users/@zoe/follow")
        await self.zoe.send_command("PUT", "/v1/users/@bob/follow")
        await self.bob.create_post("by bob #tag")
        await self.bob.create_post("an answer", reply_to=post)
        await self.bob.send_command("PUT", f"/v1/posts/{post}/like")
        await self.bob.send_command("PUT", f"/v1/posts/{post}/retweet")
        self.addresses = {
            "home": "/v1/timelines/home",
            "page": "/v1/users/@bob/posts",
            "public": "/v1/timelines/public",
            "hashtag": "/v1/hashtags/tag/posts",
            "comments": f"/v1/posts/{post}/comments",
            "likers": f"/v1/posts/{post}/likes",
            "retweeters": f"/v1/posts/{post}/retweets",
            "followers": "/v1/users/@zoe/followers",
            "following": "/v1/users/@zoe/following",
        }

    async def lists_with(self, one: SignedInUser, reader: SignedInUser) -> set[str]:
        """The lists in which a reader sees a user; they are the same without anything cached."""
        await self.world.project_all()
        warm = {name: await self._read(reader, name) for name in self.addresses}
        with self._nothing_cached():
            assert warm == {name: await self._read(reader, name) for name in self.addresses}
        handle = json.dumps(one.handle)
        return {name for name, (_, body) in warm.items() if handle in json.dumps(body)}

    async def _read(self, reader: SignedInUser, name: str) -> tuple[int, Any]:
        answer = await reader.http.get(self.addresses[name])
        return answer.status_code, answer.json()

    @contextmanager
    def _nothing_cached(self) -> Iterator[None]:
        world = self.world
        home = HomeTimeline(lambda: world.stores["timeline"], NoRings(), lambda: 0)
        warm = world.app.state.api
        world.app.state.api = ApiState(replace(world.ports, home=home, invalidations=lambda: ()))
        try:
            yield
        finally:
            world.app.state.api = warm


@pytest.fixture
async def town(world: ApiWorld) -> Town:
    """Bob stands in every list that Ada reads."""
    made = Town(world)
    await made.settle()
    assert await made.lists_with(made.bob, made.ada) == EVERY_LIST
    return made


async def test_a_deleted_account_stands_in_no_list(town: Town) -> None:
    assert await town.lists_with(town.bob, town.zoe) == EVERY_LIST
    await town.bob.send_command("DELETE", "/v1/users/me")
    assert await town.lists_with(town.bob, town.ada) == set()
    assert await town.lists_with(town.bob, town.zoe) == set()


@pytest.mark.parametrize("by_reader", [True, False], ids=["by-the-reader", "of-the-reader"])
async def test_a_block_empties_every_list_and_its_end_brings_all_back_but_the_follow(
    town: Town, by_reader: bool
) -> None:
    blocker, blocked = (town.ada, town.bob) if by_reader else (town.bob, town.ada)
    block = f"/v1/users/@{blocked.handle}/block"
    await blocker.send_command("PUT", block)
    assert await town.lists_with(town.bob, town.ada) == set()
    assert await town.lists_with(town.bob, town.zoe) == EVERY_LIST
    await blocker.send_command("DELETE", block)
    assert await town.lists_with(town.bob, town.ada) == EVERY_LIST - {"home"}
    await town.ada.send_command("PUT", "/v1/users/@bob/follow")
    assert await town.lists_with(town.bob, town.ada) == EVERY_LIST


async def test_a_mute_hides_posts_where_others_post_too_and_its_end_brings_them_back(
    town: Town,
) -> None:
    await town.ada.send_command("PUT", "/v1/users/@bob/mute")
    assert await town.lists_with(town.bob, town.ada) == {"page", *PEOPLE}
    await town.ada.send_command("DELETE", "/v1/users/@bob/mute")
    assert await town.lists_with(town.bob, town.ada) == EVERY_LIST


async def test_a_new_name_and_an_undone_relation_are_shown_at_once(town: Town) -> None:
    await town.bob.send_command("PATCH", "/v1/users/me", {"name": "Robert"})
    assert "Robert" in json.dumps(await town.ada.get_json("/v1/timelines/home"))
    assert await town.lists_with(town.bob, town.ada) == EVERY_LIST
    post = town.addresses["likers"].split("/")[3]
    for path in (f"/v1/posts/{post}/like", f"/v1/posts/{post}/retweet", "/v1/users/@zoe/follow"):
        await town.bob.send_command("DELETE", path)
    await town.zoe.send_command("DELETE", "/v1/users/@bob/follow")
    assert await town.lists_with(town.bob, town.ada) == set(POSTS)
    await town.ada.send_command("DELETE", "/v1/users/@bob/follow")
    assert await town.lists_with(town.bob, town.ada) == {*POSTS} - {"home"}
