"""Grouped notifications, markers and trending statuses over the Mastodon client API."""

from typing import Any

import pytest

from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.mastodon_schemas import check_entity

NOTIFICATIONS = "/api/v2/notifications"


@pytest.fixture
async def ada(world: ApiWorld) -> SignedInUser:
    return await register_user(world, "ada")


async def act(user: SignedInUser, path: str) -> None:
    answer = await user.http.post(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text


async def groups(user: SignedInUser, **query: Any) -> list[tuple[str, int]]:
    found = await user.get_json(NOTIFICATIONS, **query)
    check_entity("GroupedNotificationsResults", found)
    return [(one["type"], one["notifications_count"]) for one in found["notification_groups"]]


@pytest.fixture
async def busy(world: ApiWorld, ada: SignedInUser) -> list[str]:
    """Two posts of Ada's that two people favourite, one after the other, and mention her."""
    posts = [await ada.create_post(text) for text in ("one", "two")]
    await world.project_all()
    for name in ("bob", "cy"):
        user = await register_user(world, name)
        for post in posts:
            world.clock.sleep(1)
            await act(user, f"statuses/{post}/favourite")
        await act(user, f"accounts/{ada.id}/follow")
        await user.create_post("hi @ada")
        world.clock.sleep(1)
    return posts


async def test_notifications_of_a_kind_and_post_are_a_group(
    ada: SignedInUser, busy: list[str]
) -> None:
    mentions, likes = [("mention", 1)], [("favourite", 2)]
    assert await groups(ada) == [*mentions, ("follow", 2), *likes, *likes, *mentions]
    assert await groups(ada, **{"types[]": ["favourite"]}) == likes * 2
    alone = await groups(ada, **{"types[]": ["favourite"], "grouped_types[]": ["follow"]})
    assert alone == [("favourite", 1)] * 4
    assert await ada.get_json(f"{NOTIFICATIONS}/unread_count") == {"count": 5}
    found = await ada.get_json(NOTIFICATIONS)
    of_first = next(g for g in found["notification_groups"] if g.get("status_id") == busy[0])
    of_follows = next(g for g in found["notification_groups"] if g["type"] == "follow")
    assert of_follows["status_id"] is None
    assert {one["id"] for one in found["statuses"]} >= set(busy)
    accounts = {one["id"]: one["acct"] for one in found["accounts"]}
    assert [accounts[id] for id in of_first["sample_account_ids"]] == ["cy", "bob"]
    single = await ada.get_json("/api/v1/notifications", **{"types[]": ["favourite"]})
    assert {one["group_key"] for one in single} == {
        one["group_key"] for one in found["notification_groups"] if one["type"] == "favourite"
    }
    assert of_first["most_recent_notification_id"] in {int(one["id"]) for one in single}


async def test_links_lead_through_all_groups(ada: SignedInUser, busy: list[str]) -> None:
    await ada.world.project_all()
    url, walked = f"{NOTIFICATIONS}?limit=2", list[str]()
    for _ in range(9):
        answer = await ada.http.get(url)
        found = answer.json()["notification_groups"]
        if not found:
            break
        assert len(found) <= 2
        walked += [one["group_key"] for one in found]
        url = answer.links["next"]["url"]
    else:
        pytest.fail(f"no end: {walked}")
    whole = await ada.get_json(NOTIFICATIONS)
    assert list(dict.fromkeys(walked)) == [one["group_key"] for one in whole["notification_groups"]]
    newest = whole["notification_groups"][0]["most_recent_notification_id"]
    assert await groups(ada, min_id=newest) == []


async def test_a_group_is_read_and_dismissed_by_its_key(ada: SignedInUser, busy: list[str]) -> None:
    found = (await ada.get_json(NOTIFICATIONS))["notification_groups"]
    for one in found:
        path = f"{NOTIFICATIONS}/{one['group_key']}"
        alone = await ada.get_json(path)
        check_entity("GroupedNotificationsResults", alone)
        assert alone["notification_groups"] == [one]
    likes = next(one for one in found if one["type"] == "favourite")
    path = f"{NOTIFICATIONS}/{likes['group_key']}"
    assert [one["acct"] for one in await ada.get_json(f"{path}/accounts")] == ["cy", "bob"]
    answer = await ada.http.post(f"{path}/dismiss", headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()) == (200, {})
    assert (await ada.http.get(path)).status_code == 404
    assert len(await groups(ada)) == 4
    for key in ("x", "favourite-x", "favourite-1-99999999999", "ungrouped-1"):
        assert (await ada.http.get(f"{NOTIFICATIONS}/{key}")).status_code == 404


async def test_a_policy_that_hides_is_refused(ada: SignedInUser) -> None:
    policy = await ada.get_json(f"{NOTIFICATIONS}/policy")
    check_entity("NotificationPolicy", policy)
    same = await ada.http.patch(f"{NOTIFICATIONS}/policy", data={"for_not_following": "accept"})
    assert same.json() == policy
    other = await ada.http.patch(f"{NOTIFICATIONS}/policy", json={"for_new_accounts": "drop"})
    assert other.status_code == 422
    assert await ada.get_json("/api/v1/notifications/requests") == []


async def test_markers_say_how_far_one_has_read(ada: SignedInUser, busy: list[str]) -> None:
    both = {"timeline[]": ["home", "notifications", "other"]}
    fresh = await ada.get_json("/api/v1/markers", **both)
    assert [one["last_read_id"] for one in fresh.values()] == ["0", "0"]
    newest = (await ada.get_json("/api/v1/notifications"))[0]["id"]
    given = {"home": {"last_read_id": busy[0]}, "notifications": {"last_read_id": newest}}
    for version in (1, 2):
        answer = await ada.http.post("/api/v1/markers", json=given)
        assert answer.status_code == 200
        for marker in answer.json().values():
            check_entity("Marker", marker)
            assert marker["version"] == version
    moved = await ada.get_json("/api/v1/markers", **both)
    assert moved == answer.json()
    assert await ada.get_json("/api/v1/notifications/unread_count") == {"count": 0}
    form = await ada.http.post("/api/v1/markers", data={"home[last_read_id]": busy[1]})
    assert (list(form.json()), form.json()["home"]["version"]) == (["home"], 3)
    wrong = await ada.http.post("/api/v1/markers", data={"home[last_read_id]": "x"})
    assert wrong.status_code == 422
    assert await ada.get_json("/api/v1/markers") == {}


async def test_what_is_talked_of_trends(world: ApiWorld, ada: SignedInUser) -> None:
    quiet, old, new = [await ada.create_post(text) for text in ("quiet", "old", "new")]
    bob, cy = await register_user(world, "bob"), await register_user(world, "cy")
    await world.project_all()
    for user, post in ((bob, old), (bob, new), (cy, new)):
        await act(user, f"statuses/{post}/favourite")
    found = await cy.get_json("/api/v1/trends/statuses")
    check_entity("Status", found[0])
    assert [one["id"] for one in found] == [new, old]
    assert quiet not in [one["id"] for one in found]
    assert [one["id"] for one in await cy.get_json("/api/v1/trends/statuses", offset=1)] == [old]
    await act(cy, f"accounts/{ada.id}/block")
    assert await cy.get_json("/api/v1/trends/statuses") == []
