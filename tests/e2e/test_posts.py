"""Posts and comments over HTTP."""

import httpx
import pytest

from api.schemas import Post
from tests.support.api_world import WITH_AND_WITHOUT_FAST_PATH, ApiWorld, post_texts, register_user

pytestmark = WITH_AND_WITHOUT_FAST_PATH


async def test_a_new_post_is_answered_as_it_will_look(world: ApiWorld) -> None:
    ada = await register_user(world, "ada", "Ada")
    answer = await ada.http.post("/v1/posts", json={"text": "Hello #World from @bob"})
    assert answer.status_code == 201
    post = Post.model_validate_json(answer.content)
    assert (post.text, post.hashtags, post.mentions) == (
        "Hello #World from @bob", ["World"], ["bob"],
    )  # fmt: skip
    assert (post.posted_by.id, post.posted_by.handle, post.posted_by.name) == (
        ada.id, "ada", "Ada",
    )  # fmt: skip
    assert post.date_posted == "2026-02-02T02:40:00.000Z"
    assert (post.likes, post.retweets, post.comments, post.media) == (0, 0, 0, [])
    assert answer.json() == await ada.get_json(f"/v1/posts/{post.id}")


async def test_what_is_quoted_and_outside_ascii_comes_back_as_it_went_in(world: ApiWorld) -> None:
    ada = await register_user(world, "ada", 'A "quoted" \\ näme')
    text = 'Sagte sie: "Ü"\n\\ \u2028 🐦 </script>'
    post = await ada.get_json(f"/v1/posts/{await ada.create_post(text)}")
    assert post["text"] == text
    assert post["posted_by"]["name"] == 'A "quoted" \\ näme'


async def test_a_post_sent_again_with_its_key_is_made_once(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    first = await ada.http.post(
        "/v1/posts", json={"text": "once"}, headers={"Idempotency-Key": "k"}
    )
    again = await ada.http.post(
        "/v1/posts", json={"text": "once"}, headers={"Idempotency-Key": "k"}
    )
    assert again.json() == first.json()
    assert again.headers["Starling-Position"] == first.headers["Starling-Position"]
    other = await ada.http.post(
        "/v1/posts", json={"text": "twice"}, headers={"Idempotency-Key": "k"}
    )
    assert (other.status_code, other.json()["type"]) == (422, "/problems/key-reused")
    assert len(await ada.get_json("/v1/users/@ada/posts")) == 1


async def test_one_users_key_is_not_anothers(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    key = {"Idempotency_Key": "k"}
    mine = await ada.send_command("POST", "/v1/posts", {"text": "ada's"}, **key)
    theirs = await bob.send_command("POST", "/v1/posts", {"text": "bob's"}, **key)
    assert mine["id"] != theirs["id"]


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\there"])
async def test_a_key_that_is_none_is_refused(world: ApiWorld, key: str) -> None:
    ada = await register_user(world, "ada")
    headers = {"Idempotency-Key": key}
    answer = await ada.http.post("/v1/posts", json={"text": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/key-invalid")


async def test_a_comment_answers_its_post_and_is_counted(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    post = await ada.create_post("question")
    made = await bob.send_command("POST", f"/v1/posts/{post}/comments", {"text": "answer"})
    assert made["reply_to"] == post
    reply = await ada.create_post("thanks", reply_to=post)
    comments = await ada.get_json(f"/v1/posts/{post}/comments")
    assert [c["id"] for c in comments] == [reply, made["id"]]
    assert (await ada.get_json(f"/v1/posts/{post}"))["comments"] == 2
    assert post_texts(await ada.get_json("/v1/users/@bob/posts")) == ["answer"]


async def test_an_edited_post_says_when(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    post = await ada.create_post("frist #one")
    assert "edited_at" not in await ada.get_json(f"/v1/posts/{post}")
    world.clock.sleep(90)
    await ada.send_command("PATCH", f"/v1/posts/{post}", {"text": "first #two"})
    shown = await ada.get_json(f"/v1/posts/{post}")
    assert (shown["text"], shown["hashtags"]) == ("first #two", ["two"])
    assert shown["edited_at"] == "2026-02-02T02:41:30.000Z"
    assert shown["date_posted"] == "2026-02-02T02:40:00.000Z"


async def test_a_post_shows_its_warnings_and_an_edit_answers_the_post(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    warnings = {"sensitive": True, "spoiler_text": "the end", "language": "en"}
    made = await ada.send_command("POST", "/v1/posts", {"text": "x", **warnings})
    assert made.items() >= warnings.items()
    path = f"/v1/posts/{made['id']}"
    assert await ada.get_json(path) == made
    edited = await ada.send_command("PATCH", path, {"text": "y", "spoiler_text": ""})
    assert (edited["text"], edited["sensitive"], edited["language"]) == ("y", True, "en")
    assert "spoiler_text" not in edited
    assert await ada.get_json(path) == edited
    stored = b"".join(event.data for event in world.log.read_all())
    assert b"the end" not in stored


async def test_a_deleted_post_is_gone_everywhere(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = await register_user(world, "ada")
    post, other = await ada.create_post("regret #tag"), await ada.create_post("stay")
    await ada.get_json("/v1/timelines/public")
    assert await ada.send_command("DELETE", f"/v1/posts/{post}") == {"id": post, "deleted": True}
    assert await ada.send_command("DELETE", f"/v1/posts/{post}") == {"id": post, "deleted": True}
    for path in ("/v1/timelines/public", "/v1/timelines/home", "/v1/users/@ada/posts"):
        assert [p["id"] for p in await ada.get_json(path)] == [other]
    assert await ada.get_json("/v1/hashtags/tag/posts") == []
    for path in ("", "/comments", "/likes", "/retweets"):
        answer = await stranger.get(f"/v1/posts/{post}{path}")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/post-not-found")
    answer = await ada.http.put(f"/v1/posts/{post}/like")
    assert answer.status_code == 404


async def test_only_the_author_edits_and_deletes(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    post = await ada.create_post("mine")
    for answer in (
        await bob.http.patch(f"/v1/posts/{post}", json={"text": "ours"}),
        await bob.http.delete(f"/v1/posts/{post}"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/not-author")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"text": ""}, "text-empty"),
        ({"text": "\u200b\u3164"}, "text-empty"),
        ({"text": "x" + "\u0301" * 5000}, "text-too-long"),
        ({"text": "x" * 281}, "text-too-long"),
        ({"text": "x", "reply_to": "12345"}, "post-not-found"),
        ({"text": "x", "reply_to": "99999999999999999999"}, "invalid-body"),
        ({"text": "x", "reply_to": "9999999999999999999"}, "post-not-found"),
        ({"text": "x", "reply_to": 7}, "invalid-body"),
        ({"text": "x", "media": ["../etc"]}, "media-invalid"),
        ({"text": "x", "madeup": 1}, "invalid-body"),
        ({}, "invalid-body"),
    ],
)
async def test_a_post_that_makes_no_sense_says_what_to_do(
    world: ApiWorld, body: dict[str, object], code: str
) -> None:
    ada = await register_user(world, "ada")
    answer = await ada.http.post("/v1/posts", json=body)
    assert answer.status_code == (404 if code == "post-not-found" else 422)
    assert answer.json()["type"] == f"/problems/{code}"
    assert ";" in answer.json()["detail"] or ":" in answer.json()["detail"]


async def test_text_is_counted_after_it_is_composed(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    links = " ".join(["https://example.com/" + "a" * 300] * 11)
    post = await ada.create_post(links)
    assert (await ada.get_json(f"/v1/posts/{post}"))["text"] == links
    post = await ada.create_post("e\u0301" * 280)
    assert (await ada.get_json(f"/v1/posts/{post}"))["text"] == "é" * 280


@pytest.mark.parametrize("id", ["0", "1", "9223372036854775808", "x", "-1", "1e3", "٣"])
async def test_an_id_that_names_no_post_is_not_found(stranger: httpx.AsyncClient, id: str) -> None:
    answer = await stranger.get(f"/v1/posts/{id}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/post-not-found")


@pytest.mark.parametrize("reference", ["1\n", "\n1", "1\x00", "1 ", "\u0661"])
async def test_a_reference_with_more_than_an_id_in_it_is_refused(
    world: ApiWorld, reference: str
) -> None:
    ada = await register_user(world, "ada")
    for reply_to in (reference, await ada.create_post("first") + reference[1:]):
        if reply_to.isascii() and reply_to.isdigit():
            continue
        answer = await ada.http.post("/v1/posts", json={"text": "x", "reply_to": reply_to})
        assert answer.status_code == 422, answer.text
