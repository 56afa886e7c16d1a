"""Accounts, relationships and what a server says of itself, over the Mastodon API."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from tests.support.api_world import ApiWorld, register_user
from tests.support.mastodon_schemas import check_entity
from tests.support.requirements import REPOSITORY


async def test_an_account_has_all_that_strict_clients_need(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    me = await ada.get_json("/api/v1/accounts/verify_credentials")
    check_entity("CredentialAccount", me)
    assert me["source"]["privacy"] == "public"
    for name in ("avatar", "avatar_static", "header", "header_static"):
        picture = await ada.http.get(me[name])
        assert picture.content.startswith(b"\x89PNG")
    seen = await ada.get_json(f"/api/v1/accounts/{ada.id}")
    check_entity("Account", seen)
    assert (seen["username"], seen["acct"]) == ("ada", "ada")


async def test_a_profile_changes_in_part(world: ApiWorld) -> None:
    ada = await register_user(world, "ada", "Ada")
    answer = await ada.http.patch(
        "/api/v1/accounts/update_credentials", data={"note": "I write #code"}
    )
    assert answer.status_code == 200
    me = answer.json()
    assert (me["display_name"], me["source"]["note"]) == ("Ada", "I write #code")
    assert 'class="mention hashtag"' in me["note"]


async def test_a_profile_has_fields_in_whatever_form_they_come(world: ApiWorld) -> None:
    ada = await register_user(world, "ada", "Ada")
    path = "/api/v1/accounts/update_credentials"
    form = {
        "fields_attributes[0][name]": "Pronouns", "fields_attributes[0][value]": "she/her",
        "fields_attributes[1][name]": "Site", "fields_attributes[1][value]": "https://x.example/a",
        "bot": "true",
    }  # fmt: skip
    me = (await ada.http.patch(path, data=form)).json()
    check_entity("CredentialAccount", me)
    assert me["bot"] is True
    assert [one["value"] for one in me["source"]["fields"]] == ["she/her", "https://x.example/a"]
    site = me["fields"][1]["value"]
    assert site.startswith('<a href="https://x.example/a" rel="nofollow')
    assert b"she/her" not in b"".join(stored.data for stored in world.log.read_all())
    kept = (await ada.http.patch(path, data={"note": "hi"})).json()
    assert (kept["fields"], kept["bot"]) == (me["fields"], True)
    native = await ada.get_json("/v1/users/me")
    assert native["fields"][0] == {"name": "Pronouns", "value": "she/her"}
    fields = {"0": {"name": "Home", "value": "a nest"}, "1": {"name": "", "value": ""}}
    changed = (await ada.http.patch(path, json={"fields_attributes": fields})).json()
    assert [one["name"] for one in changed["fields"]] == ["Home"]
    patched = await ada.send_command("PATCH", "/v1/users/me", {"fields": [], "bot": False})
    assert patched.keys().isdisjoint({"fields", "bot"})
    for wrong in ({"fields_attributes": ["x"]}, {"fields_attributes": [{"name": "", "value": "x"}]},
                  {"locked": True}):  # fmt: skip
        refused = await ada.http.patch(path, json=wrong)
        assert (refused.status_code, list(refused.json())) == (422, ["error"])


@pytest.mark.parametrize("acct", ["bob", "@bob", "BOB", "bob@test"])
async def test_an_account_is_found_by_its_handle(world: ApiWorld, acct: str) -> None:
    bob = await register_user(world, "bob")
    found = await bob.get_json("/api/v1/accounts/lookup", acct=acct)
    assert found["id"] == bob.id
    elsewhere = await bob.http.get("/api/v1/accounts/lookup", params={"acct": "bob@other.example"})
    assert elsewhere.status_code == 404


async def test_each_act_answers_the_relationship_as_it_is_then(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    states: list[Any] = []
    for action in ("follow", "mute", "unmute", "block", "unblock", "unfollow"):
        answer = await ada.http.post(f"/api/v1/accounts/{bob.id}/{action}/")
        assert answer.status_code == 200
        check_entity("Relationship", answer.json())
        states.append([answer.json()[name] for name in ("following", "muting", "blocking")])
    assert states == [
        [True, False, False],
        [True, True, False],
        [True, False, False],
        [False, False, True],
        [False, False, False],
        [False, False, False],
    ]


async def test_relationships_come_in_the_order_asked_for(world: ApiWorld) -> None:
    ada, bob, cy = [await register_user(world, name) for name in ("ada", "bob", "cy")]
    await bob.http.post(f"/api/v1/accounts/{ada.id}/follow")
    wanted = {"id[]": [cy.id, "17", bob.id]}
    found = await ada.get_json("/api/v1/accounts/relationships", **wanted)
    assert [(one["id"], one["followed_by"]) for one in found] == [(cy.id, False), (bob.id, True)]
    listed = await ada.get_json(f"/api/v1/accounts/{ada.id}/followers")
    assert [one["acct"] for one in listed] == ["bob"]
    assert listed[0]["following_count"] == 1


async def test_a_follower_is_removed_and_may_follow_again(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    await bob.http.post(f"/api/v1/accounts/{ada.id}/follow")
    answer = await ada.http.post(f"/api/v1/accounts/{bob.id}/remove_from_followers")
    assert answer.status_code == 200
    check_entity("Relationship", answer.json())
    assert answer.json()["followed_by"] is False
    assert await ada.get_json(f"/api/v1/accounts/{ada.id}/followers") == []
    again = await bob.http.post(f"/api/v1/accounts/{ada.id}/follow")
    assert again.json()["following"] is True


async def test_some_accounts_come_in_the_order_asked_for(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    found = await ada.get_json("/api/v1/accounts", **{"id[]": [bob.id, "17", "x", ada.id, bob.id]})
    for one in found:
        check_entity("Account", one)
    assert [one["acct"] for one in found] == ["bob", "ada"]
    assert await ada.get_json("/api/v1/accounts") == []


async def test_familiar_followers_are_those_whom_one_follows(world: ApiWorld) -> None:
    ada, bob, cy, dee = [await register_user(world, name) for name in ("ada", "bob", "cy", "dee")]
    for follower, followed in ((ada, bob), (ada, cy), (cy, dee), (bob, dee), (dee, ada)):
        await follower.http.post(f"/api/v1/accounts/{followed.id}/follow")
    wanted = {"id[]": [dee.id, "17", bob.id]}
    found = await ada.get_json("/api/v1/accounts/familiar_followers", **wanted)
    for one in found:
        check_entity("FamiliarFollowers", one)
    assert [(one["id"], [a["acct"] for a in one["accounts"]]) for one in found] == [
        (dee.id, ["bob", "cy"]),
        (bob.id, []),
    ]


@pytest.mark.parametrize("resource", ["acct:bob@test", "acct:BOB@TEST", "http://test/@bob"])
async def test_an_address_leads_to_an_account(
    world: ApiWorld, stranger: httpx.AsyncClient, resource: str
) -> None:
    await register_user(world, "bob")
    await world.project_all()
    meta = await stranger.get("/.well-known/host-meta", headers={"Host": "evil.example"})
    template = re.search(r'template="([^"]+)"', meta.text)
    assert template is not None
    found = await stranger.get(template[1].replace("{uri}", resource))
    assert found.headers["content-type"] == "application/jrd+json"
    assert found.json()["subject"] == "acct:bob@test"
    for unknown in ("acct:bob@other.example", "acct:cy@test", "mailto:x"):
        answer = await stranger.get("/.well-known/webfinger", params={"resource": unknown})
        assert answer.status_code == 404


async def test_an_account_shows_its_statuses_and_threads_without_answers(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    first = (await ada.http.post("/api/v1/statuses", json={"status": "one"})).json()
    answer = {"status": "two", "in_reply_to_id": first["id"]}
    second = (await ada.http.post("/api/v1/statuses", json=answer)).json()
    bobs = (await bob.http.post("/api/v1/statuses", json={"status": "hello"})).json()
    answer = {"status": "three", "in_reply_to_id": bobs["id"]}
    third = (await ada.http.post("/api/v1/statuses", json=answer)).json()
    path, thread = f"/api/v1/accounts/{ada.id}/statuses", [second["id"], first["id"]]
    assert [s["id"] for s in await ada.get_json(path)] == [third["id"], *thread]
    assert [s["id"] for s in await ada.get_json(path, exclude_replies="True")] == thread
    assert await ada.get_json(path, pinned="true") == []


async def test_a_server_describes_itself(stranger: httpx.AsyncClient) -> None:
    headers = {"Host": "evil.example"}
    first = (await stranger.get("/api/v1/instance", headers=headers)).json()
    second = (await stranger.get("/api/v2/instance", headers=headers)).json()
    check_entity("V1Instance", first)
    check_entity("Instance", second)
    assert (first["uri"], first["urls"]["streaming_api"]) == ("test", "ws://test")
    limits = second["configuration"]["accounts"]
    assert (limits["max_pinned_statuses"], limits["max_profile_fields"]) == (5, 4)
    assert re.match(r"4\.3\.0 \(compatible; Starling ", second["version"])
    info = (await stranger.get("/.well-known/nodeinfo")).json()["links"][0]["href"]
    assert (await stranger.get(info)).json()["metadata"]["upstream"]["name"] == "mastodon"


async def test_a_server_counts_what_there_is(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    for text in ("one", "two"):
        await ada.create_post(text)
    gone = await bob.create_post("three")
    await bob.send_command("DELETE", f"/v1/posts/{gone}")
    await bob.send_command("DELETE", "/v1/users/me")
    found = await ada.get_json("/api/v1/instance")
    assert found["stats"] == {"user_count": 1, "status_count": 2, "domain_count": 0}
    usage = (await ada.get_json("/api/v2/instance"))["usage"]
    assert usage == {"users": {"active_month": 2}}
    await ada.create_post("four")
    kept = await ada.get_json("/api/v1/instance")
    assert kept["stats"]["status_count"] == 2
    world.clock.sleep(600)
    again = await ada.get_json("/nodeinfo/2.0")
    assert again["usage"]["localPosts"] == 3


async def test_an_account_says_when_it_posted_last(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    path = f"/api/v1/accounts/{ada.id}"
    assert (await ada.get_json(path))["last_status_at"] is None
    await ada.create_post("one")
    first = (await ada.get_json(path))["last_status_at"]
    assert re.fullmatch(r"2026-\d\d-\d\d", first)
    world.clock.sleep(3 * 86_400)
    second = await ada.create_post("two")
    assert (await ada.get_json(path))["last_status_at"] > first
    await ada.send_command("DELETE", f"/v1/posts/{second}")
    found = await ada.get_json(path)
    check_entity("Account", found)
    assert found["last_status_at"] == first


async def test_what_there_is_none_of_is_an_empty_list(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    for path in (
        "v1/followed_tags",
        "v2/filters",
        "v1/custom_emojis",
        "v1/conversations",
        "v1/trends",
        f"v1/accounts/{ada.id}/featured_tags",
    ):
        assert await ada.get_json(f"/api/{path}") == []
    check_entity("Preferences", await ada.get_json("/api/v1/preferences"))
    for method, path in (
        ("POST", "domain_blocks"),
        ("DELETE", "domain_blocks"),
        ("POST", "featured_tags"),
    ):
        answer = await ada.http.request(method, f"/api/v1/{path}", data={"domain": "x.example"})
        assert answer.status_code == 422
        assert answer.json()["error"] == "Validation failed: this server doesn't have these"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("PUT", "/api/v1/instance", 405),
        ("GET", "/api/v1/timelines/home", 401),
        ("GET", "/api/v1/accounts/x", 404),
        ("GET", "/api/v1/timelines/public?max_id=x", 422),
        ("GET", "/oauth/nothing", 404),
    ],
)
async def test_refusals_are_json_with_an_error_that_pages_may_read(
    stranger: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await stranger.request(method, path, headers={"Origin": "https://client.example"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.json()["error"], str)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "X-RateLimit-Reset" in answer.headers["access-control-expose-headers"]


def test_the_page_on_clients_lists_every_address(world: ApiWorld) -> None:
    page = (Path(REPOSITORY) / "docs/mastodon.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(GET|POST|PUT|PATCH|DELETE) (/[^`]*)` \|", page, re.M))
    routes = [context.route for context in iter_route_contexts(world.app.routes)]
    there = {
        (method, route.path)
        for route in routes
        if isinstance(route, APIRoute)
        and route.path.startswith(("/api/", "/oauth", "/nodeinfo", "/.well-known"))
        for method in route.methods or ()
    }
    assert listed == there
