"""Statuses and timelines as clients of the Mastodon API see them."""

import re
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.mastodon_schemas import check_entity


async def post(user: SignedInUser, text: str, **more: Any) -> dict[str, Any]:
    answer = await user.http.post("/api/v1/statuses", data={"status": text, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def act(user: SignedInUser, path: str) -> dict[str, Any]:
    answer = await user.http.post(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def get(user: SignedInUser, path: str, **query: Any) -> Any:
    answer = await user.http.get(f"/api/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(statuses: Sequence[dict[str, Any]]) -> list[str]:
    return [one["id"] for one in statuses]


@pytest.mark.parametrize("form", ["data", "json", "params", "files"])
async def test_a_client_posts_in_whichever_form_it_likes(world: ApiWorld, form: str) -> None:
    ada = await register_user(world, "ada")
    given: Any = {"status": "hello #Snow", "media_ids": None, "visibility": "public"}
    if form == "files":
        given = {"status": (None, "hello #Snow")}
    elif form != "json":
        del given["media_ids"]
    answer = await ada.http.post("/api/v1/statuses", **{form: given})
    assert answer.status_code == 200
    made = answer.json()
    check_entity("Status", made)
    assert made["quote"] is made["account"]["moved"] is None
    assert made["tags"] == [{"name": "snow", "url": "http://test/tags/snow"}]
    assert made["content"].startswith("<p>hello <a ")
    assert (made["favourited"], made["reblogged"], made["bookmarked"]) == (False, False, False)
    assert (await get(ada, f"statuses/{made['id']}")) == made


@pytest.mark.parametrize(
    "asked",
    [
        {"visibility": "private"},
        {"visibility": "direct"},
        {"visibility": "unlisted"},
        {"scheduled_at": "2030-01-01T00:00:00Z"},
        {"poll[options][]": "yes"},
        {"quoted_status_id": "1"},
    ],
)
async def test_what_can_not_be_kept_from_others_is_refused_and_not_published(
    world: ApiWorld, asked: dict[str, str]
) -> None:
    ada = await register_user(world, "ada")
    answer = await ada.http.post("/api/v1/statuses", data={"status": "secret", **asked})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("Validation failed")
    assert await get(ada, "timelines/public") == []


async def test_a_mention_and_an_answer_name_those_they_mean(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    first = await post(ada, "hello @bob")
    assert [one["acct"] for one in first["mentions"]] == ["bob"]
    answer = await post(bob, "hello", in_reply_to_id=first["id"])
    assert (answer["in_reply_to_id"], answer["in_reply_to_account_id"]) == (first["id"], ada.id)
    assert (await get(ada, f"statuses/{first['id']}"))["replies_count"] == 1


async def test_a_retweet_is_a_status_around_the_post(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    original = await post(ada, "hello")
    wrapper = await act(bob, f"statuses/{original['id']}/reblog")
    check_entity("Status", wrapper)
    assert wrapper["id"] != original["id"]
    assert wrapper["account"]["acct"] == "bob"
    assert wrapper["reblog"]["id"] == original["id"]
    assert wrapper["reblog"]["reblogs_count"] == 1
    assert wrapper["reblogged"]
    assert (await act(bob, f"statuses/{original['id']}/reblog"))["id"] == wrapper["id"]
    assert (await act(bob, f"statuses/{wrapper['id']}/favourite"))["id"] == original["id"]
    by = await get(ada, f"statuses/{original['id']}/reblogged_by")
    assert [one["acct"] for one in by] == ["bob"]
    undone = await act(bob, f"statuses/{wrapper['id']}/unreblog")
    assert (undone["id"], undone["reblogged"]) == (original["id"], False)


async def test_a_retweet_is_read_answered_and_deleted_by_its_own_id(world: ApiWorld) -> None:
    ada, bob, cy = [await register_user(world, name) for name in ("ada", "bob", "cy")]
    original = await post(ada, "hello")
    wrapper, own = [await act(one, f"statuses/{original['id']}/reblog") for one in (bob, ada)]
    read = await get(cy, f"statuses/{wrapper['id']}")
    check_entity("Status", read)
    assert (read["id"], read["reblog"]["id"]) == (wrapper["id"], original["id"])
    asked = {"id[]": [wrapper["id"], original["id"]]}
    assert ids(await get(cy, "statuses", **asked)) == asked["id[]"]
    answer = await post(cy, "hi", in_reply_to_id=wrapper["id"])
    assert answer["in_reply_to_id"] == original["id"]
    refused = await ada.http.delete(f"/api/v1/statuses/{wrapper['id']}")
    assert refused.status_code == 404
    for user, one in ((bob, wrapper), (ada, own)):
        deleted = await user.http.delete(f"/api/v1/statuses/{one['id']}")
        assert (deleted.status_code, deleted.json()["id"]) == (200, one["id"])
        assert (await user.http.get(f"/api/v1/statuses/{one['id']}")).status_code == 404
    left = await get(ada, f"statuses/{original['id']}")
    assert (left["reblogs_count"], left["reblogged"]) == (0, False)


async def test_a_retweet_by_a_blocked_account_is_not_shown(world: ApiWorld) -> None:
    ada, bob, cy = [await register_user(world, name) for name in ("ada", "bob", "cy")]
    original = await post(ada, "hello")
    wrapper = await act(bob, f"statuses/{original['id']}/reblog")
    await act(cy, f"accounts/{bob.id}/block")
    assert (await cy.http.get(f"/api/v1/statuses/{wrapper['id']}")).status_code == 404
    assert await get(cy, "statuses", **{"id[]": [wrapper["id"]]}) == []


async def test_the_home_timeline_has_wrappers_and_the_public_one_has_none(world: ApiWorld) -> None:
    ada, bob, cy = [await register_user(world, name) for name in ("ada", "bob", "cy")]
    await act(cy, f"accounts/{bob.id}/follow")
    original = await post(ada, "hello")
    wrapper = await act(bob, f"statuses/{original['id']}/reblog")
    home = await get(cy, "timelines/home")
    assert ids(home) == [wrapper["id"]]
    check_entity("Status", home[0])
    assert ids(await get(cy, "timelines/public")) == [original["id"]]


async def test_favourites_are_counted_when_they_are_answered(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    made = await post(ada, "hello")
    liked = await act(ada, f"statuses/{made['id']}/favourite")
    assert (liked["favourited"], liked["favourites_count"]) == (True, 1)
    by = await get(ada, f"statuses/{made['id']}/favourited_by")
    check_entity("Account", by[0])
    back = await act(ada, f"statuses/{made['id']}/unfavourite")
    assert (back["favourited"], back["favourites_count"]) == (False, 0)


async def test_an_edit_keeps_what_was_before_and_says_when(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    made = await post(ada, "helo")
    edited = (await ada.http.put(f"/api/v1/statuses/{made['id']}", json={"status": "hello"})).json()
    check_entity("Status", edited)
    assert edited["edited_at"] is not None
    history = await get(ada, f"statuses/{made['id']}/history")
    assert [one["content"] for one in history] == ["<p>helo</p>", "<p>hello</p>"]
    for one in history:
        check_entity("StatusEdit", one)
        assert one["poll"] is None
    source = await get(ada, f"statuses/{made['id']}/source")
    check_entity("StatusSource", source)
    assert source["text"] == "hello"


async def test_a_warning_goes_with_the_post_and_its_versions(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    made = await post(ada, "he did it", spoiler_text="the end", language="pt_BR")
    check_entity("Status", made)
    assert (made["spoiler_text"], made["sensitive"]) == ("the end", True)
    assert made["language"] == "pt-BR"
    path = f"/api/v1/statuses/{made['id']}"
    kept = (await ada.http.put(path, json={"status": "she did it"})).json()
    assert (kept["spoiler_text"], kept["language"]) == ("the end", "pt-BR")
    source = await get(ada, f"statuses/{made['id']}/source")
    assert (source["text"], source["spoiler_text"]) == ("she did it", "the end")
    lifted = (await ada.http.put(path, data={"spoiler_text": "", "sensitive": "false"})).json()
    assert (lifted["content"], lifted["spoiler_text"]) == ("<p>she did it</p>", "")
    assert not lifted["sensitive"]
    history = await get(ada, f"statuses/{made['id']}/history")
    assert [one["spoiler_text"] for one in history] == ["the end", "the end", ""]
    assert (await post(ada, "", spoiler_text="only a warning"))["spoiler_text"] == ""


async def test_deleting_answers_the_text_so_that_it_can_be_written_again(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    made = await post(ada, "hello <b>")
    answer = await ada.http.delete(f"/api/v1/statuses/{made['id']}")
    assert answer.status_code == 200
    assert answer.json()["text"] == "hello <b>"
    gone = await ada.http.get(f"/api/v1/statuses/{made['id']}")
    assert (gone.status_code, gone.json()) == (404, {"error": "Record not found"})


async def test_a_thread_comes_in_the_order_in_which_it_is_drawn(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    root = await post(ada, "root")
    left = await post(ada, "left", in_reply_to_id=root["id"])
    right = await post(ada, "right", in_reply_to_id=root["id"])
    below = await post(ada, "below", in_reply_to_id=left["id"])
    thread = await get(ada, f"statuses/{root['id']}/context")
    check_entity("Context", thread)
    assert ids(thread["descendants"]) == [left["id"], below["id"], right["id"]]
    above = (await get(ada, f"statuses/{below['id']}/context"))["ancestors"]
    assert ids(above) == [root["id"], left["id"]]


async def test_links_lead_through_a_timeline_and_keep_what_was_asked(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    made = [(await post(ada, f"post {n}"))["id"] for n in range(7)]
    url: str | None = "/api/v1/timelines/public?local=true&limit=3&max_id="
    walked: list[str] = []
    while url is not None:
        answer = await ada.http.get(url)
        walked += ids(answer.json())
        link = re.match(
            '<([^>]+)>; rel="next", <([^>]+)>; rel="prev"', answer.headers.get("link", "")
        )
        url = link[1] if link else None
        if link:
            assert "local=true" in link[1]
            assert "limit=3" in link[1]
            assert "min_id=" in link[2]
    assert walked == made[::-1]
    above = await get(ada, "timelines/public", min_id=made[2], limit=2)
    assert ids(above) == [made[4], made[3]]


async def test_several_statuses_come_at_once(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    first, second = await post(ada, "one"), await post(ada, "two")
    wanted = {"id[]": [first["id"], "17", second["id"]]}
    assert ids(await get(ada, "statuses", **wanted)) == [first["id"], second["id"]]


async def test_a_stranger_sees_public_posts_without_marks(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    await post(await register_user(world, "ada"), "hello")
    found = (await stranger.get("/api/v1/timelines/public")).json()
    check_entity("Status", found[0])
    assert "favourited" not in found[0]
