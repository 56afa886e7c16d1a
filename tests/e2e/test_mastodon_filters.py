"""Filters over the Mastodon client API."""

from typing import Any

import pytest

from tests.e2e.test_mastodon_statuses import act, get, post
from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.mastodon_schemas import check_entity

V1, V2 = "/api/v1/filters", "/api/v2/filters"


@pytest.fixture
async def ada(world: ApiWorld) -> SignedInUser:
    return await register_user(world, "ada")


async def ask(user: SignedInUser, method: str, path: str, **given: Any) -> Any:
    answer = await user.http.request(method, path, **given)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def make_filter(user: SignedInUser, *keywords: str, **values: Any) -> Any:
    attributes = [{"keyword": one, "whole_word": True} for one in keywords]
    given = {"title": "Pets", "context": ["home"], "keywords_attributes": attributes, **values}
    made = await ask(user, "POST", V2, json=given)
    check_entity("Filter", made)
    return made


async def test_a_filter_is_made_changed_and_deleted(world: ApiWorld, ada: SignedInUser) -> None:
    made = await make_filter(ada, "cats", "dogs", filter_action="hide", expires_in=3600)
    assert (made["title"], made["context"], made["filter_action"]) == ("Pets", ["home"], "hide")
    assert [one["keyword"] for one in made["keywords"]] == ["cats", "dogs"]
    path = f"{V2}/{made['id']}"
    assert await ask(ada, "GET", path) == made
    assert await ask(ada, "GET", V2) == [made]
    cats, dogs = made["keywords"]
    attributes = [
        {"id": cats["id"], "_destroy": True},
        {"id": dogs["id"], "keyword": "Dog"},
        {"keyword": "birds", "whole_word": "false"},
    ]
    changed = await ask(ada, "PUT", path, json={"title": "P", "keywords_attributes": attributes})
    assert changed["expires_at"] == made["expires_at"] is not None
    assert [(one["keyword"], one["whole_word"]) for one in changed["keywords"]] == [
        ("Dog", True),
        ("birds", False),
    ]
    assert (await ask(ada, "PUT", path, json={"expires_in": None}))["expires_at"] is None
    bob = await register_user(world, "bob")
    assert await ask(bob, "GET", V2) == []
    for method in ("GET", "PUT", "DELETE"):
        refused = await bob.http.request(method, path)
        assert (refused.status_code, list(refused.json())) == (404, ["error"])
    assert await ask(ada, "DELETE", path) == {}
    assert await ask(ada, "GET", V2) == await ask(ada, "GET", V1) == []
    for given in ({"title": "x"}, {"title": "x", "context": ["work"]}, {"context": ["home"]}):
        assert (await ada.http.post(V2, json=given)).status_code == 422


async def test_forms_of_clients_carry_keywords(ada: SignedInUser) -> None:
    form = [
        ("title", "x"),
        ("context[]", "home"),
        ("context[]", "public"),
        ("keywords_attributes[][keyword]", "a"),
        ("keywords_attributes[][whole_word]", "true"),
        ("keywords_attributes[][keyword]", "b"),
        ("keywords_attributes[][whole_word]", "false"),
    ]
    body = "&".join(f"{name}={value}" for name, value in form)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    made = await ask(ada, "POST", V2, content=body, headers=headers)
    assert [(one["keyword"], one["whole_word"]) for one in made["keywords"]] == [
        ("a", True),
        ("b", False),
    ]
    assert made["context"] == ["home", "public"]


async def test_keywords_and_statuses_have_addresses_of_their_own(
    world: ApiWorld, ada: SignedInUser
) -> None:
    id = (await make_filter(ada))["id"]
    keyword = await ask(ada, "POST", f"{V2}/{id}/keywords", data={"keyword": "cats"})
    check_entity("FilterKeyword", keyword)
    assert await ask(ada, "GET", f"{V2}/{id}/keywords") == [keyword]
    path = f"{V2}/keywords/{keyword['id']}"
    assert await ask(ada, "GET", path) == keyword
    changed = await ask(ada, "PUT", path, data={"whole_word": "0"})
    assert changed == {**keyword, "whole_word": False}
    status = await post(ada, "hello")
    named = await ask(ada, "POST", f"{V2}/{id}/statuses", data={"status_id": status["id"]})
    check_entity("FilterStatus", named)
    assert named["status_id"] == status["id"]
    assert await ask(ada, "GET", f"{V2}/{id}/statuses") == [named]
    assert await ask(ada, "GET", f"{V2}/statuses/{named['id']}") == named
    whole = await ask(ada, "GET", f"{V2}/{id}")
    assert (whole["keywords"], whole["statuses"]) == ([changed], [named])
    [found] = (await get(ada, f"statuses/{status['id']}"))["filtered"]
    assert (found["keyword_matches"], found["status_matches"]) == (None, [status["id"]])
    assert await ask(ada, "DELETE", f"{V2}/statuses/{named['id']}") == named
    assert await ask(ada, "DELETE", path) == {}
    for gone in (path, f"{V2}/statuses/{named['id']}", f"{V1}/{keyword['id']}"):
        assert (await ada.http.get(gone)).status_code == 404
    assert (await get(ada, f"statuses/{status['id']}"))["filtered"] == []
    unknown = await ada.http.post(f"{V2}/{id}/statuses", data={"status_id": "7"})
    assert unknown.status_code == 404


async def test_the_first_version_shows_keywords(ada: SignedInUser) -> None:
    given = {"phrase": "cats", "context[]": ["home"], "irreversible": "true"}
    made = await ask(ada, "POST", V1, data=given)
    check_entity("V1Filter", made)
    assert (made["phrase"], made["irreversible"], made["expires_at"]) == ("cats", True, None)
    path = f"{V1}/{made['id']}"
    assert await ask(ada, "GET", V1) == [await ask(ada, "GET", path)] == [made]
    changed = {"phrase": "dogs", "context": ["public"], "whole_word": False, "expires_in": 60}
    dogs = await ask(ada, "PUT", path, json=changed)
    assert (dogs["phrase"], dogs["context"], dogs["whole_word"]) == ("dogs", ["public"], False)
    [whole] = await ask(ada, "GET", V2)
    assert (whole["title"], whole["filter_action"]) == ("dogs", "hide")
    await ask(ada, "POST", f"{V2}/{whole['id']}/keywords", data={"keyword": "birds"})
    refused = await ada.http.put(path, json={"phrase": "cats", "context": ["home"]})
    assert refused.status_code == 422
    assert (await ask(ada, "PUT", path, json={"phrase": "cats"}))["phrase"] == "cats"
    for one in await ask(ada, "GET", V1):
        assert await ask(ada, "DELETE", f"{V1}/{one['id']}") == {}
    assert await ask(ada, "GET", V2) == []


async def test_statuses_say_which_filters_they_meet(world: ApiWorld, ada: SignedInUser) -> None:
    bob = await register_user(world, "bob")
    await act(ada, f"accounts/{bob.id}/follow")
    made = await make_filter(ada, "cats", filter_action="hide")
    met = await post(bob, "My Cats, @ada", spoiler_text="animals")
    other = await post(bob, "concatenate")
    home = {one["id"]: one for one in await get(ada, "timelines/home")}
    for one in home.values():
        check_entity("Status", one)
    [result] = home[met["id"]]["filtered"]
    check_entity("FilterResult", result)
    alone = {name: made[name] for name in ("id", "title", "context", "expires_at", "filter_action")}
    assert result == {"filter": alone, "keyword_matches": ["Cats"], "status_matches": None}
    assert home[other["id"]]["filtered"] == []
    wrapper = await act(ada, f"statuses/{met['id']}/reblog")
    assert wrapper["filtered"] == wrapper["reblog"]["filtered"] == [result]
    [notified] = await get(ada, "notifications")
    assert notified["status"]["filtered"] == [result]
    assert (await get(bob, f"statuses/{met['id']}"))["filtered"] == []
    await ask(bob, "PUT", f"/api/v1/statuses/{other['id']}", data={"status": "cats, after all"})
    [edited] = (await get(ada, f"statuses/{other['id']}"))["filtered"]
    assert edited == {**result, "keyword_matches": ["cats"]}
    await ask(ada, "PUT", f"{V2}/{made['id']}", data={"expires_in": "0"})
    assert (await get(ada, f"statuses/{met['id']}"))["filtered"] == []
