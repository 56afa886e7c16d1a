"""Bookmarks, pins, favourites, blocks, mutes and followed tags of Mastodon's clients."""

from tests.e2e.test_mastodon_statuses import act, get, ids, post
from tests.support.api_world import ApiWorld, register_user
from tests.support.mastodon_schemas import check_entity


async def test_bookmarks_and_favourites_are_paged_in_the_order_of_the_act(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    made = [(await post(ada, f"post {n}"))["id"] for n in range(3)]
    for list_name, verb in (("bookmarks", "bookmark"), ("favourites", "favourite")):
        for id in (made[1], made[2], made[0]):
            done = await act(bob, f"statuses/{id}/{verb}")
            check_entity("Status", done)
            assert done["bookmarked"]
        page = await bob.http.get(f"/api/v1/{list_name}", params={"limit": 2})
        assert ids(page.json()) == [made[0], made[2]]
        rest = await bob.http.get(page.links["next"]["url"])
        assert ids(rest.json()) == [made[1]]
    assert not (await act(bob, f"statuses/{made[0]}/unbookmark"))["bookmarked"]
    assert ids(await get(bob, "bookmarks")) == [made[2], made[1]]


async def test_pins_are_on_the_account_and_said_of_ones_own_posts_alone(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    made = (await post(ada, "look"))["id"]
    pinned = await act(ada, f"statuses/{made}/pin")
    check_entity("Status", pinned)
    assert pinned["pinned"] is True
    assert ids(await get(bob, f"accounts/{ada.id}/statuses", pinned="true")) == [made]
    assert "pinned" not in await get(bob, f"statuses/{made}")
    assert (await act(ada, f"statuses/{made}/unpin"))["pinned"] is False
    refused = await bob.http.post(f"/api/v1/statuses/{made}/pin")
    assert refused.status_code in (403, 422)
    assert "error" in refused.json()


async def test_blocks_and_mutes_are_lists_of_accounts(world: ApiWorld) -> None:
    ada, bob, cy = [await register_user(world, name) for name in ("ada", "bob", "cy")]
    for user, verb, kind in ((bob, "block", "Account"), (cy, "mute", "MutedAccount")):
        await act(ada, f"accounts/{user.id}/{verb}")
        [found] = await get(ada, f"{verb}s")
        check_entity(kind, found)
        assert found["acct"] == user.handle


async def test_followed_tags_say_that_they_are_followed(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    await post(ada, "it is #Snowing")
    tag = await act(ada, "tags/Snowing/follow")
    check_entity("Tag", tag)
    assert (tag["name"], tag["following"], len(tag["history"])) == ("snowing", True, 7)
    assert tag["history"][0]["uses"] == "1"
    assert await get(ada, "followed_tags") == [tag]
    assert await get(ada, "tags/snowing") == tag
    assert (await act(ada, "tags/snowing/unfollow"))["following"] is False
    assert await get(ada, "followed_tags") == []
    assert (await ada.http.get("/api/v1/tags/a-b")).status_code == 404
