"""A user's own data as one archive over HTTP."""

import io
import json
from typing import Any
from zipfile import ZipFile, is_zipfile

import httpx
import pytest

from api.media.errors import MediaUnavailable
from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.media import image_bytes

EXPORT = "/v1/users/me/export"


async def export(user: SignedInUser) -> ZipFile:
    answer = await user.http.post(EXPORT)
    assert answer.status_code == 200, answer.text
    archive = ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    return archive


def lines(archive: ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(f"{name}.jsonl").splitlines()]


async def upload(user: SignedInUser, seed: int, alt: str) -> str:
    answer = await user.http.post(
        "/v1/media", files={"file": ("a.png", image_bytes(seed))}, data={"alt": alt}
    )
    id: str = answer.json()["id"]
    return id


async def test_an_archive_has_a_users_account_posts_and_images(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    image, avatar = await upload(ada, 1, "An owl"), await upload(ada, 2, "")
    await ada.send_command("PATCH", "/v1/users/me", {"bio": "Writes", "avatar": avatar})
    await ada.send_command("DELETE", "/v1/users/me/click-tracking")
    first = await ada.create_post("first #owls", media=[image])
    await ada.send_command("PATCH", f"/v1/posts/{first}", {"text": "edited #owls"})
    comment = await ada.create_post("a comment", reply_to=first)
    await ada.send_command("PUT", f"/v1/posts/{first}/retweet")
    answer = await ada.http.post(EXPORT)  # right after the last write
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="starling-ada.zip"'
    assert answer.headers["cache-control"] == "no-store"
    archive = ZipFile(io.BytesIO(answer.content))
    account = json.loads(archive.read("account.json"))
    wanted = {"handle": "ada", "bio": "Writes", "email": "ada@example.org", "click_tracking": False,
              "email_verified": False}  # fmt: skip
    assert wanted.items() <= account.items()
    assert "created_at" in account
    [reply, post] = lines(archive, "posts")
    assert (reply["id"], reply["reply_to"]) == (comment, first)
    assert (post["id"], post["text"], post["hashtags"]) == (first, "edited #owls", ["owls"])
    assert [one["text"] for one in post["history"]] == ["first #owls", "edited #owls"]
    assert [(one["id"], one["alt"]) for one in post["media"]] == [(image, "An owl")]
    for id in (image, avatar):
        assert archive.read(f"media/{id}.png") == world.media_store.files[id]
    assert [one["id"] for one in lines(archive, "retweets")] == [first]
    sessions = json.loads(archive.read("sessions.json"))
    assert [one["scopes"] for one in sessions] == [["user"]]
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert ada.token.encode() not in everything
    assert b"argon2" not in everything
    readme = archive.read("README.txt").decode()
    assert readme.startswith("The data of @ada")
    for name in archive.namelist():
        assert name in readme or name.startswith("media/") or name == "README.txt"


async def test_an_archive_has_lists_of_any_length_and_hides_those_whom_one_blocks(
    world: ApiWorld,
) -> None:
    ada, bob, cy = [await register_user(world, name) for name in ("ada", "bob", "cy")]
    liked = [await bob.create_post(f"post {n} @ada") for n in range(83)]
    for post in liked:
        await ada.send_command("PUT", f"/v1/posts/{post}/like")
    hidden = await cy.create_post("hidden text")
    for relation in ("like", "bookmark", "retweet"):
        await ada.send_command("PUT", f"/v1/posts/{hidden}/{relation}")
    await world.project_all()
    await ada.http.post(f"/api/v1/statuses/{liked[0]}/mute")
    given = {"phrase": "cats", "context[]": ["home"]}
    await ada.http.post("/api/v1/filters", data=given)
    await ada.send_command("PUT", f"/v1/users/{cy.id}/block")
    await ada.send_command("PUT", f"/v1/users/{bob.id}/mute")
    await ada.send_command("PUT", f"/v1/users/{bob.id}/follow")
    await bob.send_command("PUT", f"/v1/users/{ada.id}/follow")
    await ada.send_command("PUT", "/v1/hashtags/owls/follow")
    archive = await export(ada)
    likes = lines(archive, "likes")
    assert [one["id"] for one in likes] == [hidden, *reversed(liked)]
    assert likes[1]["post"]["text"] == "post 82 @ada"
    for name in ("likes", "bookmarks", "retweets"):
        assert lines(archive, name)[0].keys() == {"id", "at"}
    for name, handle in (
        ("following", "bob"),
        ("followers", "bob"),
        ("blocks", "cy"),
        ("mutes", "bob"),
    ):
        assert [one["handle"] for one in lines(archive, name)] == [handle]
    assert [one["tag"] for one in lines(archive, "followed-hashtags")] == ["owls"]
    [filter_line] = lines(archive, "filters")
    assert filter_line["keywords"] == [{"text": "cats", "whole_word": True}]
    assert [one["id"] for one in lines(archive, "muted-conversations")] == [liked[0]]
    assert lines(archive, "pins") == lines(archive, "posts") == []
    assert b"hidden text" not in b"".join(archive.read(name) for name in archive.namelist())
    notified = lines(await export(bob), "notifications")
    assert [one["type"] for one in notified] == ["follow", *["like"] * 83]


async def test_an_archive_that_fails_on_the_way_is_none(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await register_user(world, "ada")
    await ada.create_post("look", media=[await upload(ada, 1, "")])

    async def fail(name: str) -> bytes | None:
        raise MediaUnavailable("no disk")

    monkeypatch.setattr(world.media_store, "read", fail)
    transport = httpx.ASGITransport(world.app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {ada.token}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers=headers
    ) as client:
        answer = await client.post(EXPORT)
    assert answer.content.startswith(b"PK")
    assert not is_zipfile(io.BytesIO(answer.content))


async def test_images_that_the_store_lost_are_named(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    image = await upload(ada, 1, "")
    await ada.create_post("look", media=[image])
    world.media_store.files.clear()
    archive = await export(ada)
    assert image in archive.read("README.txt").decode()
    assert not [name for name in archive.namelist() if name.startswith("media/")]


async def test_signing_out_ends_an_archive(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await register_user(world, "ada")
    await ada.create_post("look", media=[await upload(ada, 1, "")])

    async def sign_out(name: str) -> bytes | None:
        await ada.send_command("DELETE", "/v1/users/me/sessions/current")
        return world.media_store.files[name]

    monkeypatch.setattr(world.media_store, "read", sign_out)
    with pytest.raises(PermissionError):
        await ada.http.post(EXPORT)


async def test_only_the_user_may_ask_and_only_once_the_views_are_there(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = await register_user(world, "ada")
    assert (await stranger.post(EXPORT)).status_code == 401
    for scopes in (("read", "write"), ("analyst",)):
        async with world.new_client(world.tokens.issue(int(ada.id), scopes)) as app:
            assert (await app.post(EXPORT)).status_code == 403

    async def never(names: object, position: int, timeout: float) -> bool:
        return False

    world.wait_for = never
    refused = await ada.http.post(EXPORT)
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/views-behind")


async def test_an_archive_has_lists_with_their_members_and_webhooks_without_secrets(
    world: ApiWorld,
) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    await world.accounts.mark_email_verified(int(ada.id), "ada@example.org")
    await ada.send_command("PUT", f"/v1/users/{bob.id}/follow")
    await world.project_all()
    made = [
        await ada.send_command("POST", "/api/v1/lists", {"title": title})
        for title in ("Friends", "Without members")
    ]
    members = {"account_ids": [bob.id]}
    await ada.send_command("POST", f"/api/v1/lists/{made[0]['id']}/accounts", members)
    await bob.send_command("POST", "/api/v1/lists", {"title": "Bob's own"})
    url, types = "http://127.0.0.1:9/hook", ["post.created", "post.edited"]
    webhook = await ada.send_command("POST", "/v1/webhooks", {"url": url, "types": types})
    archive = await export(ada)
    assert json.loads(archive.read("account.json"))["email_verified"] is True
    [empty, friends] = lines(archive, "lists")
    assert [(one["id"], one["title"]) for one in (friends, empty)] == [
        (made[0]["id"], "Friends"), (made[1]["id"], "Without members"),
    ]  # fmt: skip
    assert (friends["replies_policy"], empty["members"]) == ("list", [])
    assert [(one["id"], one["handle"]) for one in friends["members"]] == [(bob.id, "bob")]
    [shown] = json.loads(archive.read("webhooks.json"))
    assert (shown["id"], shown["url"], shown["types"]) == (webhook["id"], url, types)
    assert webhook["secret"].encode() not in archive.read("webhooks.json")
