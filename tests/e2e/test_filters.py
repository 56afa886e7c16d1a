"""Filters over `/v1`."""

from typing import Any

import pytest

from tests.support.api_world import ApiWorld, SignedInUser, register_user

PATH = "/v1/filters"
NEW = {"title": "Pets", "contexts": ["public", "home"]}


@pytest.fixture
async def world() -> ApiWorld:
    """No filter is hot: once is enough."""
    return ApiWorld()


@pytest.fixture
async def ada(world: ApiWorld) -> SignedInUser:
    return await register_user(world, "ada")


async def test_a_filter_is_made_changed_and_deleted_and_one_owners_alone(
    world: ApiWorld, ada: SignedInUser
) -> None:
    until = "2100-01-01T00:00:00.000Z"
    words = [{"text": " cats "}, {"text": "dog", "whole_word": False}]
    new = NEW | {"action": "hide", "expires_at": until, "keywords": words}
    made = await ada.send_command("POST", PATH, new)
    own = f"{PATH}/{made['id']}"
    cats, dog = made["keywords"]
    assert made == {
        "id": made["id"], "title": "Pets", "contexts": ["home", "public"], "action": "hide",
        "expires_at": until, "posts": [],
        "keywords": [cats, {"id": dog["id"], "text": "dog", "whole_word": False}],
    }  # fmt: skip
    assert (cats["text"], cats["whole_word"]) == ("cats", True)
    kept = [{"id": dog["id"], "text": "dogs"}, {"text": "birds"}]
    changed = await ada.send_command("PATCH", own, {"title": "P", "keywords": kept})
    assert [(one["text"], one["whole_word"]) for one in changed["keywords"]] == [
        ("dogs", True), ("birds", True),
    ]  # fmt: skip
    assert changed["keywords"][0]["id"] == dog["id"]
    assert (changed["title"], changed["action"], changed["expires_at"]) == ("P", "hide", until)
    head = world.log.head()
    assert await ada.send_command("PATCH", own, {}) == changed
    assert world.log.head() == head
    forever = await ada.send_command("PATCH", own, {"expires_at": None, "keywords": []})
    assert ("expires_at" in forever, forever["keywords"]) == (False, [])
    assert await ada.get_json(PATH) == [forever]
    assert await ada.get_json(own) == forever
    assert b"birds" not in b"".join(stored.data for stored in world.log.read_all())
    bob = await register_user(world, "bob")
    assert await bob.get_json(PATH) == []
    for method in ("GET", "PATCH", "DELETE"):
        refused = await bob.http.request(method, own, json={})
        assert (refused.status_code, refused.json()["type"]) == (404, "/problems/filter-not-found")
    assert await ada.send_command("DELETE", own) == {"id": made["id"], "deleted": True}
    assert await ada.get_json(PATH) == []


async def test_it_is_the_same_filter_over_both_apis(ada: SignedInUser) -> None:
    made = await ada.send_command("POST", PATH, NEW | {"keywords": [{"text": "cats"}]})
    post = await ada.create_post("on cats")
    await ada.world.project_all()
    named = {"status_id": post}
    await ada.send_command("POST", f"/api/v2/filters/{made['id']}/statuses", named)
    [found] = await ada.get_json(PATH)
    assert found == made | {"posts": [post]}
    status = await ada.get_json(f"/api/v1/statuses/{post}")
    assert status["filtered"][0]["keyword_matches"] == ["cats"]


async def test_a_filter_that_is_sent_again_is_made_once(ada: SignedInUser) -> None:
    made = [await ada.send_command("POST", PATH, NEW, idempotency_key="k") for _ in range(2)]
    assert made[0] == made[1]
    assert await ada.get_json(PATH) == made[:1]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"context": ["home"]}, "invalid-body"),
        ({"contexts": []}, "invalid-body"),
        ({"contexts": ["work"]}, "invalid-body"),
        ({"action": "blur"}, "invalid-body"),
        ({"keywords": [{"text": "a", "weight": 2}]}, "invalid-body"),
        ({"title": " "}, "filter-words-invalid"),
        ({"keywords": [{"text": "a\r\nb"}]}, "filter-words-invalid"),
        ({"expires_at": "soon"}, "time-invalid"),
    ],
)
async def test_a_filter_that_can_not_be_is_refused(
    ada: SignedInUser, change: dict[str, Any], code: str
) -> None:
    made = await ada.send_command("POST", PATH, NEW)
    for method, path in (("POST", PATH), ("PATCH", f"{PATH}/{made['id']}")):
        refused = await ada.http.request(method, path, json=NEW | change)
        assert (refused.status_code, refused.json()["type"]) == (422, f"/problems/{code}")
    unknown = {"keywords": [{"id": "77", "text": "a"}]}
    refused = await ada.http.patch(f"{PATH}/{made['id']}", json=unknown)
    assert refused.status_code == 404
    assert (await ada.http.get(PATH, params={"x": "1"})).status_code == 422
