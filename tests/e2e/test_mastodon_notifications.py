"""Notifications, search and refusals at the addresses of the Mastodon client API."""

from typing import Any

import httpx
import pytest

from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.mastodon_schemas import check_entity


async def get(user: SignedInUser, path: str, **query: Any) -> Any:
    return await user.get_json(f"/api/{path}", **query)


async def types(user: SignedInUser, **query: Any) -> list[str]:
    return [one["type"] for one in await get(user, "v1/notifications", **query)]


async def test_notifications_have_mastodons_names_and_ones_own_post(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    post = await ada.create_post("hello")
    await world.project_all()
    for path in (f"statuses/{post}/favourite", f"statuses/{post}/reblog"):
        assert (await bob.http.post(f"/api/v1/{path}")).status_code == 200
    await bob.http.post(f"/api/v1/accounts/{ada.id}/follow")
    await bob.create_post("hi @ada")
    found = await get(ada, "v1/notifications")
    assert [one["type"] for one in found] == ["mention", "follow", "reblog", "favourite"]
    for one in found:
        check_entity("Notification", one)
    assert found[2]["status"]["id"] == found[3]["status"]["id"] == post
    assert found[1]["status"] is None
    assert await types(ada, **{"types[]": ["follow", "poll"]}) == ["follow"]
    assert await types(ada, **{"types[]": ["poll"]}) == []
    assert await types(ada, **{"exclude_types[]": ["mention", "reblog"]}) == ["follow", "favourite"]
    assert await types(ada, account_id=ada.id) == []
    assert await get(ada, f"v1/notifications/{found[1]['id']}") == found[1]
    assert await get(ada, "v1/notifications/unread_count") == {"count": 4}


async def test_a_page_of_notifications_has_40_and_80_at_most(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    for number in range(41):
        await bob.create_post(f"{number} @ada")
    assert len(await get(ada, "v1/notifications")) == 40
    assert len(await get(ada, "v1/notifications", limit=81)) == 41


async def test_notifications_are_dismissed_and_cleared(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    for text in ("hi @ada", "again, @ada", "@ada?"):
        await bob.create_post(text)
    first, *rest = await get(ada, "v1/notifications")
    answer = await ada.http.post(f"/api/v1/notifications/{first['id']}/dismiss")
    assert (answer.status_code, answer.json()) == (200, {})
    assert await get(ada, "v1/notifications") == rest
    gone = await ada.http.get(f"/api/v1/notifications/{first['id']}")
    assert gone.status_code == 404
    for _ in range(2):
        answer = await ada.http.post("/api/v1/notifications/clear")
        assert (answer.status_code, answer.json()) == (200, {})
        assert await get(ada, "v1/notifications") == []


async def test_a_muted_conversation_notifies_no_more(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    first = await ada.create_post("hello")
    answer = await bob.create_post("hi", reply_to=first)
    other = await ada.create_post("elsewhere")
    await world.project_all()
    muted = await ada.http.post(f"/api/v1/statuses/{answer}/mute")
    assert muted.status_code == 200, muted.text
    check_entity("Status", muted.json())
    assert (muted.json()["id"], muted.json()["muted"]) == (answer, True)
    deep = await bob.create_post("@ada?", reply_to=answer)
    for post in (first, other):
        await bob.http.post(f"/api/v1/statuses/{post}/favourite")
        await bob.http.post(f"/api/v1/statuses/{post}/reblog")
    elsewhere = await bob.create_post("and @ada, elsewhere", reply_to=other)
    assert await types(ada) == ["mention", "reblog", "favourite"]
    assert await get(ada, "v1/notifications/unread_count") == {"count": 3}
    assert len(await ada.get_json("/v1/notifications")) == 3
    marks = {one["id"]: one["muted"] for one in await get(ada, "v1/timelines/public")}
    assert marks == {first: True, answer: True, deep: True, other: False, elsewhere: False}
    assert not any(one["muted"] for one in await get(bob, "v1/timelines/public"))
    unmuted = await ada.http.post(f"/api/v1/statuses/{deep}/unmute")
    assert unmuted.json()["muted"] is False
    assert len(await types(ada)) == 7
    assert (await ada.http.post("/api/v1/statuses/77/mute")).status_code == 404


async def test_a_search_finds_accounts_statuses_and_hashtags(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    post = await ada.create_post("ada was in #Rome")
    found = await get(bob, "v2/search", q="ada")
    check_entity("Search", found)
    assert [one["acct"] for one in found["accounts"]] == ["ada"]
    assert [one["id"] for one in found["statuses"]] == [post]
    only = await get(bob, "v2/search", q="#rom", type="hashtags")
    assert [one["name"] for one in only["hashtags"]] == ["rome"]
    assert only["accounts"] == only["statuses"] == []
    for query in ("@ada@test", "http://test/@ada"):
        accounts = (await get(bob, "v2/search", q=query, resolve="true"))["accounts"]
        assert [one["id"] for one in accounts] == [str(ada.id)]
    by_address = await get(bob, "v2/search", q=f"http://test/@ada/{post}", resolve=True)
    assert [one["id"] for one in by_address["statuses"]] == [post]
    assert (await get(bob, "v2/search", q="ada", offset=1))["accounts"] == []


async def test_accounts_are_searched_among_those_whom_one_follows(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    assert [one["id"] for one in await get(bob, "v1/accounts/search", q="ad")] == [str(ada.id)]
    assert await get(bob, "v1/accounts/search", q="ad", following="true") == []
    await bob.http.post(f"/api/v1/accounts/{ada.id}/follow")
    assert len(await get(bob, "v1/accounts/search", q="ad", following="true")) == 1


async def test_a_search_keeps_to_an_author_to_ids_and_to_whom_one_follows(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    first, second = await ada.create_post("rain"), await ada.create_post("more rain")
    bobs = await bob.create_post("rain again")

    async def statuses(**query: Any) -> list[str]:
        found = await get(bob, "v2/search", q="rain", **query)
        return [one["id"] for one in found["statuses"]]

    assert await statuses() == [bobs, second, first]
    assert await statuses(account_id=ada.id, limit=1) == [second]
    assert await statuses(account_id="x") == []
    assert await statuses(max_id=bobs, min_id=first) == [second]
    assert (await get(bob, "v2/search", q="ada", following="true"))["accounts"] == []
    await bob.http.post(f"/api/v1/accounts/{ada.id}/follow")
    assert len((await get(bob, "v2/search", q="ada", following="true"))["accounts"]) == 1


async def test_a_stranger_may_search_but_not_resolve(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    await register_user(world, "ada")
    await world.project_all()
    assert (await stranger.get("/api/v2/search?q=ada")).json()["accounts"] != []
    assert (await stranger.get("/api/v2/search?q=ada&resolve=1")).status_code == 401


@pytest.mark.parametrize(
    "given",
    [
        {"avatar": "x"},
        {"discoverable": "false"},
        {"source[language]": "en"},
        {"locked": "true"},
        {"source[privacy]": "private"},
        {"source[sensitive]": "true"},
    ],
)
async def test_what_a_profile_cannot_have_is_refused(
    world: ApiWorld, given: dict[str, str]
) -> None:
    ada = await register_user(world, "ada")
    answer = await ada.http.patch("/api/v1/accounts/update_credentials", data=given)
    assert answer.status_code == 422
    assert next(iter(given)).partition("[0")[0] in answer.json()["error"]


async def test_a_profile_is_changed_by_clients_that_send_all_there_is(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    given = {"display_name": "Ada L.", "locked": "false", "fields_attributes[0][name]": ""}
    given |= {"source[privacy]": "public", "source[sensitive]": "false"}
    answer = await ada.http.patch("/api/v1/accounts/update_credentials", data=given)
    assert (answer.status_code, answer.json()["display_name"]) == (200, "Ada L.")


async def test_an_accounts_statuses_are_narrowed_by_a_hashtag(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    post = await ada.create_post("in #Rome")
    await ada.create_post("at home")
    found = await get(ada, f"v1/accounts/{ada.id}/statuses", tagged="ROME")
    assert [one["id"] for one in found] == [post]


async def test_images_of_a_post_stay_as_they_are(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    post = await ada.create_post("hello")
    await world.project_all()
    change = {"status": "hello you", "media_ids": ["1"]}
    answer = await ada.http.put(f"/api/v1/statuses/{post}", json=change)
    assert answer.status_code == 422
    assert (await get(ada, f"v1/statuses/{post}/source"))["text"] == "hello"
