"""Mutes that end by themselves, and mutes of posts alone, in both APIs."""

from typing import Any

import pytest

from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.mastodon_schemas import check_entity


@pytest.fixture
async def people(world: ApiWorld) -> tuple[SignedInUser, SignedInUser]:
    """Ada follows Bob, who has written to her."""
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    await ada.send_command("PUT", "/v1/users/@bob/follow")
    await bob.create_post("hello @ada #x")
    return ada, bob


async def seen_by(user: SignedInUser) -> tuple[int, int, int, int]:
    """How many posts of home, of all and of a hashtag, and how many notifications one sees."""
    lists = [
        await user.get_json(path)
        for path in (
            "/v1/timelines/home", "/api/v1/timelines/public", "/v1/hashtags/x/posts",
            "/api/v1/notifications",
        )
    ]  # fmt: skip
    home, public, hashtag, notifications = map(len, lists)
    return home, public, hashtag, notifications


async def mute(ada: SignedInUser, bob: SignedInUser, **terms: Any) -> Any:
    answer = await ada.http.post(f"/api/v1/accounts/{bob.id}/mute", data=terms)
    assert answer.status_code == 200, answer.text
    check_entity("Relationship", answer.json())
    return answer.json()


async def test_a_mute_ends_by_itself_and_no_event_says_so(
    world: ApiWorld, people: tuple[SignedInUser, SignedInUser]
) -> None:
    ada, bob = people
    assert await seen_by(ada) == (1, 1, 1, 1)
    relationship = await mute(ada, bob, duration="60")
    assert (relationship["muting"], relationship["muting_notifications"]) == (True, True)
    assert relationship["muting_expires_at"] == "2026-02-02T02:41:00.000Z"
    [muted] = await ada.get_json("/api/v1/mutes")
    check_entity("MutedAccount", muted)
    assert muted["mute_expires_at"] == "2026-02-02T02:41:00.000Z"
    assert await seen_by(ada) == (0, 0, 0, 0)
    head = world.log.head()
    world.clock.sleep(59.999)
    assert await seen_by(ada) == (0, 0, 0, 0)
    world.clock.sleep(0.001)
    assert await seen_by(ada) == (1, 1, 1, 1)
    assert await ada.get_json("/api/v1/mutes") == await ada.get_json("/v1/users/me/mutes") == []
    found = await ada.get_json("/api/v1/accounts/relationships", id=bob.id)
    assert [found[0][name] for name in ("muting", "muting_notifications")] == [False, False]
    assert world.log.head() == head


async def test_a_mute_of_posts_alone_still_notifies(
    people: tuple[SignedInUser, SignedInUser],
) -> None:
    ada, bob = people
    relationship = await mute(ada, bob, notifications="false")
    assert (relationship["muting"], relationship["muting_notifications"]) == (True, False)
    assert await seen_by(ada) == (0, 0, 0, 1)
    assert (await mute(ada, bob))["muting_notifications"] is True
    assert await seen_by(ada) == (0, 0, 0, 0)


async def test_the_native_api_mutes_for_a_while_too(
    world: ApiWorld, people: tuple[SignedInUser, SignedInUser]
) -> None:
    ada, bob = people
    path = "/v1/users/@bob/mute"
    for _ in range(2):
        done = await ada.send_command("PUT", path, {"seconds": 60}, Idempotency_Key="once")
        assert done == {"id": bob.id, "muted": True}
        world.clock.sleep(1)
    [muted] = await ada.get_json("/v1/users/me/mutes")
    assert (muted["muting"], muted["muted_until"]) == (True, "2026-02-02T02:41:00.000Z")
    await ada.send_command("PUT", path, {"until": "2026-02-03T00:00:00Z", "notifications": False})
    assert await seen_by(ada) == (0, 0, 0, 1)
    await ada.send_command("PUT", path)
    assert "muted_until" not in await ada.get_json("/v1/users/@bob")
    past, later = "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"
    for terms in ({"until": past}, {"until": later, "seconds": 1}, {"seconds": 10**15}):
        refused = await ada.http.put(path, json=terms)
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/mute-invalid")
