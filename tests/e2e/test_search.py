"""Search over HTTP."""

import pytest

from tests.support.api_world import ApiWorld, SignedInUser, register_user


async def found(reader: SignedInUser, q: str, **query: object) -> list[str]:
    """What a search finds, by text, handle or tag."""
    answer = await reader.get_json("/v1/search", q=q, **query)
    return [one.get("text") or one.get("handle") or one["tag"] for one in answer]


async def test_posts_are_found_by_word_and_shown_like_elsewhere(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    first = await ada.create_post("A Café in #Rome")
    await bob.create_post("cafe and cake")
    assert await found(bob, "CAFE") == ["cafe and cake", "A Café in #Rome"]
    [post] = await bob.get_json("/v1/search", q="rome cafe", type="posts")
    assert post == await bob.get_json(f"/v1/posts/{first}")
    answer = await bob.http.get("/v1/search", params={"q": "cafe", "limit": 1})
    assert answer.links["next"]["url"].startswith("http://test/v1/search?")
    following = await bob.http.get(answer.links["next"]["url"])
    assert [one["text"] for one in following.json()] == ["A Café in #Rome"]


async def test_edited_and_deleted_words_are_found_no_more(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    post = await ada.create_post("first words")
    assert await found(bob, "first") == ["first words"]
    await ada.send_command("PATCH", f"/v1/posts/{post}", {"text": "second words"})
    assert await found(bob, "first") == []
    assert await found(bob, "second") == ["second words"]
    await ada.send_command("DELETE", f"/v1/posts/{post}")
    assert await found(bob, "second") == []
    await ada.create_post("third words")
    assert await found(bob, "third") == ["third words"]
    await ada.send_command("DELETE", "/v1/users/me")
    assert await found(bob, "third") == await found(bob, "ada", type="users") == []


async def test_accounts_and_hashtags_are_found_by_their_beginnings(world: ApiWorld) -> None:
    ada = await register_user(world, "ada", "Ada Lovelace")
    await register_user(world, "adam", "Ada's brother")
    await ada.create_post("#Tea #team")
    await ada.create_post("#tea")
    assert await found(ada, "ada", type="users") == ["ada", "adam"]
    assert await found(ada, "ada", type="people") == ["ada", "adam"]
    assert await found(ada, "@ada", type="users", limit=1) == ["ada"]
    assert await found(ada, "love", type="users") == ["ada"]
    assert await ada.get_json("/v1/search", q="#TE", type="hashtags") == [
        {"tag": "tea", "posts": 2},
        {"tag": "team", "posts": 1},
    ]
    completed = await ada.get_json("/v1/users", handle_prefix="@AD")
    assert [one["handle"] for one in completed] == ["ada", "adam"]
    assert completed[1] == await ada.get_json("/v1/users/@adam")


async def test_people_who_block_one_another_do_not_find_one_another(world: ApiWorld) -> None:
    ada, bob, cat = [await register_user(world, f"{n}_x") for n in "abc"]
    await ada.create_post("word of a")
    await bob.create_post("word of b")
    await ada.send_command("PUT", f"/v1/users/{bob.id}/block")
    await cat.send_command("PUT", f"/v1/users/{bob.id}/mute")
    assert await found(bob, "word") == ["word of b"]
    assert await found(ada, "word") == await found(cat, "word") == ["word of a"]
    assert await found(bob, "a_x", type="users") == []
    assert await bob.get_json("/v1/users", handle_prefix="a_") == []
    assert await found(cat, "b_x", type="users") == ["b_x"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("q=", "no word"),
        ("q=%E2%80%A6&type=posts", "no word"),
        ("q=%23&type=hashtags", "no word"),
        ("q=x&type=planets", "type"),
        ("q=x&offset=3", "it takes limit, max_id, min_id, q, since_id, type"),
        ("q=" + "x" * 201, "200"),
        ("", "q"),
    ],
)
async def test_a_search_that_makes_no_sense_is_refused(
    world: ApiWorld, query: str, said: str
) -> None:
    answer = await (await register_user(world, "ada")).http.get(f"/v1/search?{query}")
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
