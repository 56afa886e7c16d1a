"""Images over the Mastodon client API: uploads, posts that show them, avatars and headers."""

from typing import Any

import httpx
import pytest

from api.media.media_follower import MediaFollower
from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.mastodon_schemas import check_entity
from tests.support.media import draw_image, encode, image_bytes


@pytest.fixture
async def ada(world: ApiWorld) -> SignedInUser:
    return await register_user(world, "ada")


async def upload(user: SignedInUser, seed: int = 0, **fields: str) -> dict[str, Any]:
    files = {"file": ("a.png", image_bytes(seed))}
    answer = await user.http.post("/api/v2/media", files=files, data=fields)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def sweep(world: ApiWorld) -> None:
    follower = MediaFollower(world.log, world.media_records, world.media_store, world.clock)
    await follower.catch_up()
    await follower.sweep()


async def test_an_upload_says_what_it_is_and_where(ada: SignedInUser) -> None:
    large = encode(draw_image(size=(1200, 500)), "PNG")
    fields = {"description": "An owl", "focus": "0.1,-0.2"}
    answer = await ada.http.post(
        "/api/v1/media", files={"file": ("a.png", large)}, data=fields, headers={"Host": "evil.ex"}
    )
    made = answer.json()
    check_entity("MediaAttachment", made)
    assert made["url"] == f"http://test/v1/media/{made['id']}"
    assert (made["type"], made["description"]) == ("image", "An owl")
    assert made["meta"]["original"]["size"] == "1200x500"
    assert made["meta"]["small"]["size"] == "400x167"
    assert await ada.get_json(f"/api/v1/media/{made['id']}") == made


async def test_an_upload_gets_another_description(world: ApiWorld, ada: SignedInUser) -> None:
    made = await upload(ada, description="An owl")
    path = f"/api/v1/media/{made['id']}"
    assert (await ada.http.put(path, data={"focus": "0,0"})).json() == made
    changed = await ada.http.put(path, json={"description": "A cat"})
    assert changed.json() == made | {"description": "A cat"}
    bob = await register_user(world, "bob")
    for answer in (await bob.http.get(path), await bob.http.put(path, data={"description": "x"})):
        assert (answer.status_code, answer.json()) == (404, {"error": "Record not found"})


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("data", "media_ids[]"),
        ("data", "media_ids[0]"),
        ("data", "media_ids"),
        ("params", "media_ids[]"),
        ("json", "media_ids"),
        ("json", "media_ids[]"),
    ],
)
async def test_a_post_shows_images_named_in_any_form(
    ada: SignedInUser, form: str, name: str
) -> None:
    made = await upload(ada, description="An owl")
    given: Any = {"status": "look", name: [made["id"]]}
    posted = (await ada.http.post("/api/v1/statuses", **{form: given})).json()
    check_entity("Status", posted)
    assert posted["media_attachments"] == [made]
    edit: Any = {"status": "look here", name: [made["id"]]}
    edited = await ada.http.put(f"/api/v1/statuses/{posted['id']}", **{form: edit})
    assert edited.json()["media_attachments"] == [made]
    assert "look here" in edited.json()["content"]
    listed = await ada.get_json(f"/api/v1/accounts/{ada.id}/statuses", only_media="true")
    assert [one["id"] for one in listed] == [posted["id"]]


@pytest.mark.parametrize(
    "change",
    [
        {"media_ids": []},
        {"media_ids": ["1"]},
        {"media_attributes": [{"id": "ID", "description": "A cat"}]},
    ],
)
async def test_an_edit_that_would_change_images_is_refused(
    ada: SignedInUser, change: dict[str, Any]
) -> None:
    made = await upload(ada, description="An owl")
    given = {"status": "look", "media_ids": [made["id"]]}
    post = (await ada.http.post("/api/v1/statuses", json=given)).json()["id"]
    for one in change.get("media_attributes", ()):
        one["id"] = made["id"]
    answer = await ada.http.put(f"/api/v1/statuses/{post}", json={"status": "x"} | change)
    assert answer.status_code == 422
    same = {"media_attributes": [{"id": made["id"], "description": "An owl"}]}
    answer = await ada.http.put(f"/api/v1/statuses/{post}", json={"status": "x"} | same)
    assert answer.status_code == 200


async def test_a_deleted_post_is_written_again_with_its_images(
    world: ApiWorld, ada: SignedInUser
) -> None:
    made = await upload(ada, description="An owl")
    given = {"status": "look", "media_ids": [made["id"]]}
    first = (await ada.http.post("/api/v1/statuses", json=given)).json()
    await sweep(world)
    world.clock.sleep(9 * 86_400)
    deleted = (await ada.http.delete(f"/api/v1/statuses/{first['id']}")).json()
    await sweep(world)
    again = {"status": deleted["text"], "media_ids": [deleted["media_attachments"][0]["id"]]}
    answer = await ada.http.post("/api/v1/statuses", json=again)
    assert answer.status_code == 200, answer.text
    assert answer.json()["media_attachments"] == [made]
    assert (await ada.http.get(made["url"])).status_code == 200


async def test_the_images_of_a_deleted_post_go_after_a_day(
    world: ApiWorld, ada: SignedInUser
) -> None:
    made = await upload(ada)
    given = {"status": "look", "media_ids": [made["id"]]}
    first = (await ada.http.post("/api/v1/statuses", json=given)).json()
    await ada.http.delete(f"/api/v1/statuses/{first['id']}")
    world.clock.sleep(26 * 3600)
    await sweep(world)
    assert (await ada.http.get(made["url"])).status_code == 404


async def test_a_profile_gets_an_avatar_and_a_header(ada: SignedInUser) -> None:
    files = {"avatar": ("a.png", image_bytes(1)), "header": ("h.png", image_bytes(2))}
    answer = await ada.http.patch(
        "/api/v1/accounts/update_credentials", files=files, data={"note": "hi"}
    )
    assert answer.status_code == 200, answer.text
    me = answer.json()
    check_entity("CredentialAccount", me)
    assert me["source"]["note"] == "hi"
    assert me["avatar"] != me["header"]
    for name in ("avatar", "avatar_static", "header", "header_static"):
        assert me[name].startswith("http://test/v1/media/")
        assert (await ada.http.get(me[name])).status_code == 200
    kept = await ada.http.patch("/api/v1/accounts/update_credentials", data={"avatar": ""})
    assert kept.json()["avatar"] == me["avatar"]
    bare = (await ada.http.delete("/api/v1/profile/avatar")).json()
    assert bare["avatar"].endswith("missing.png")
    assert bare["header"] == me["header"]


@pytest.mark.parametrize(
    ("path", "files", "status"),
    [
        ("/api/v2/media", {"file": ("a.png", b"no image")}, 422),
        ("/api/v2/media", {"files": ("a.png", b"x")}, 422),
        ("/api/v1/media", {"file": ("a.png", bytes(6 << 20))}, 413),
    ],
)
async def test_what_is_no_image_is_refused(
    ada: SignedInUser, path: str, files: Any, status: int
) -> None:
    answer = await ada.http.post(path, files=files)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


async def test_strangers_upload_nothing(world: ApiWorld, stranger: httpx.AsyncClient) -> None:
    answer = await stranger.post("/api/v2/media", files={"file": ("a.png", image_bytes())})
    assert answer.status_code == 401
    assert world.media_store.files == {}
