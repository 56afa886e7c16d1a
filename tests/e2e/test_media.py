"""Images over HTTP: uploads, posts and profiles that show them, and how their bytes are served."""

import hashlib
import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image

from api.http.uploads import FORM_BYTES
from api.media.media_follower import MediaFollower
from api.media.media_library import MOST_UNSHOWN
from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.media import image_bytes

DAY_SECONDS = 24 * 3600


@pytest.fixture
async def ada(world: ApiWorld) -> SignedInUser:
    return await register_user(world, "ada")


async def send_image(
    user: SignedInUser, content: bytes, alt: str | None = None, name: str = "a.png"
) -> httpx.Response:
    fields = {} if alt is None else {"alt": alt}
    return await user.http.post("/v1/media", files={"file": (name, content)}, data=fields)


async def upload(user: SignedInUser, seed: int = 0, alt: str | None = None) -> dict[str, Any]:
    answer = await send_image(user, image_bytes(seed), alt)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


async def sweep(world: ApiWorld) -> None:
    follower = MediaFollower(world.log, world.media_records, world.media_store, world.clock)
    await follower.catch_up()
    await follower.sweep()


async def test_an_upload_is_served_by_the_hash_of_its_bytes(ada: SignedInUser) -> None:
    made = await upload(ada, alt="  An owl ")
    assert made["url"] == f"http://test/v1/media/{made['id']}"
    assert made["thumbnail_url"] == f"{made['url']}/thumbnail"
    assert (made["type"], made["width"], made["height"]) == ("image/png", 48, 32)
    assert made["alt"] == "An owl"
    assert len(made["blurhash"]) == 28
    answer = await ada.http.get(f"/v1/media/{made['id']}")
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).hexdigest() == made["id"]
    assert Image.open(io.BytesIO(answer.content)).size == (48, 32)
    small = await ada.http.get(made["thumbnail_url"])
    assert small.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(small.content)).format == "WEBP"


async def test_images_are_kept_by_caches_and_run_nothing(
    ada: SignedInUser, stranger: httpx.AsyncClient
) -> None:
    made = await upload(ada)
    answer = await stranger.get(f"/v1/media/{made['id']}")
    headers = answer.headers
    assert headers["content-type"] == "image/png"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["etag"] == f'"{made["id"]}"'
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "sandbox" in headers["content-security-policy"]
    assert headers["accept-ranges"] == "bytes"
    for tag in (headers["etag"], f'"x", W/{headers["etag"]}', "*"):
        again = await stranger.get(f"/v1/media/{made['id']}", headers={"if-none-match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == headers["etag"]
    head = await stranger.head(f"/v1/media/{made['id']}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.content))


async def test_a_range_of_an_image_is_served(ada: SignedInUser) -> None:
    made = await upload(ada)
    path = f"/v1/media/{made['id']}"
    whole = (await ada.http.get(path)).content
    size = len(whole)
    for wanted, first, end in (
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=5-{size + 90}", 5, size),
    ):
        part = await ada.http.get(path, headers={"range": wanted})
        assert (part.status_code, part.content) == (206, whole[first:end]), wanted
        assert part.headers["content-range"] == f"bytes {first}-{end - 1}/{size}"
    behind = await ada.http.get(path, headers={"range": f"bytes={size}-"})
    assert (behind.status_code, behind.headers["content-range"]) == (416, f"bytes */{size}")
    for plain in ("bytes=0-1,4-5", "lines=1-2", "bytes=9-3", "bytes=-"):
        assert (await ada.http.get(path, headers={"range": plain})).status_code == 200, plain
    changed = await ada.http.get(path, headers={"range": "bytes=0-9", "if-range": '"other"'})
    assert changed.status_code == 200


async def test_what_is_no_upload_is_refused(ada: SignedInUser, stranger: httpx.AsyncClient) -> None:
    good = {"file": ("a.png", image_bytes())}
    assert problem_of(await stranger.post("/v1/media", files=good)) == (401, "token-missing")
    post = ada.http.post
    assert problem_of(await post("/v1/media", json={})) == (422, "invalid-body")
    assert problem_of(await post("/v1/media", data={"file": "x"})) == (422, "invalid-body")
    assert problem_of(await post("/v1/media", files=good, data={"x": "y"})) == (422, "invalid-body")
    wrong = {"content-type": "multipart/form-data; boundary=x"}
    broken = await post("/v1/media", content=b"--y\r\n\r\n", headers=wrong)
    assert problem_of(broken)[0] in (400, 422)
    assert problem_of(await send_image(ada, b"<html>")) == (422, "image-invalid")
    assert problem_of(await send_image(ada, b"")) == (422, "image-invalid")
    assert problem_of(await send_image(ada, image_bytes(), "x" * 1501)) == (422, "alt-too-long")
    assert problem_of(await send_image(ada, image_bytes(), "x\x00")) == (422, "alt-invalid")
    limit = ada.world.ports.media.max_bytes
    assert problem_of(await send_image(ada, bytes(limit + 1))) == (413, "body-too-large")
    assert problem_of(await send_image(ada, bytes(limit + FORM_BYTES))) == (413, "body-too-large")
    assert problem_of(await stranger.get("/v1/media/nope")) == (404, "media-not-found")
    assert problem_of(await stranger.get(f"/v1/media/{'0' * 64}")) == (404, "media-not-found")


async def test_the_declared_type_of_a_file_plays_no_part(ada: SignedInUser) -> None:
    files = {"file": ("page.html", image_bytes(form="GIF"), "text/html")}
    made = (await ada.http.post("/v1/media", files=files)).json()
    assert made["type"] == "image/gif"
    assert (await ada.http.get(made["url"])).headers["content-type"] == "image/gif"


async def test_a_post_carries_its_images_wherever_it_is_shown(
    ada: SignedInUser, stranger: httpx.AsyncClient
) -> None:
    first, second = await upload(ada, 1, "one"), await upload(ada, 2)
    body = {"text": "look #owl", "media": [second["id"], first["id"]]}
    made = await ada.send_command("POST", "/v1/posts", body)
    assert made["media"] == [second, first]
    comment = await upload(ada, 3, "three")
    path = f"/v1/posts/{made['id']}/comments"
    answer = await ada.send_command("POST", path, {"text": "and", "media": [comment["id"]]})
    assert answer["media"] == [comment]
    await ada.world.project_all()
    shown = (await stranger.get(f"/v1/posts/{made['id']}")).json()
    assert shown["media"] == [second, first]
    for page in ("/v1/timelines/public", "/v1/hashtags/owl/posts", "/v1/users/@ada/posts"):
        posts = {post["id"]: post for post in (await stranger.get(page)).json()}
        assert posts[made["id"]]["media"] == [second, first], page
    assert (await stranger.get(path)).json()[0]["media"] == [comment]
    assert (await ada.get_json("/v1/timelines/home"))[-1]["media"] == [second, first]


async def test_only_the_uploader_shows_an_image_and_only_once(
    world: ApiWorld, ada: SignedInUser
) -> None:
    bob = await register_user(world, "bob")
    image = await upload(ada)
    body = {"text": "mine", "media": [image["id"]]}
    assert problem_of(await bob.http.post("/v1/posts", json=body)) == (422, "media-unknown")
    key = {"idempotency-key": "once"}
    made = await ada.http.post("/v1/posts", json=body, headers=key)
    assert made.status_code == 201
    assert problem_of(await ada.http.post("/v1/posts", json=body)) == (422, "media-unknown")
    again = await ada.http.post("/v1/posts", json=body, headers=key)
    assert (again.status_code, again.json()["id"]) == (201, made.json()["id"])
    assert again.json()["media"] == [image]
    await upload(ada)
    assert (await ada.http.post("/v1/posts", json=body)).status_code == 201
    five = [(await upload(ada, seed))["id"] for seed in range(5)]
    many = await ada.http.post("/v1/posts", json={"text": "x", "media": five})
    assert problem_of(many) == (422, "media-too-many")


async def test_lines_of_commands_show_uploads_of_their_user(
    world: ApiWorld, ada: SignedInUser
) -> None:
    await register_user(world, "bob")
    image, face = await upload(ada, 1, "an owl"), await upload(ada, 2)
    post = {"command": "post", "data": {"text": "x", "media": [image["id"]]}}
    lines = [
        post | {"as": "@bob"},
        post | {"as": "@ada", "key": "p"},
        post | {"as": "@ada", "key": "p"},
        {"command": "change_profile", "as": "@ada", "data": {"avatar": face["id"]}},
        {"command": "post", "as": "@zoe", "data": {"text": "x", "media": ["1"]}},
    ]
    async with world.new_client(world.tokens.issue(int(ada.id), ("import",))) as importer:
        body = "\n".join(map(json.dumps, lines))
        answer = await importer.post("/v1/commands", content=body)
        results = [json.loads(line) for line in answer.text.splitlines()]
        assert [result["status"] for result in results] == [422, 201, 201, 200, 404], results
        assert results[0]["problem"]["type"] == "/problems/media-unknown"
        assert results[1]["id"] == results[2]["id"]
        again = await importer.post("/v1/commands", content=json.dumps(post | {"as": "@ada"}))
        assert again.json()["status"] == 422
    assert (await ada.get_json(f"/v1/posts/{results[1]['id']}"))["media"] == [image]
    assert (await ada.get_json("/v1/users/@ada"))["avatar"] == face["url"]


async def test_an_alternative_text_can_be_changed_until_the_image_is_shown(
    world: ApiWorld, ada: SignedInUser
) -> None:
    image = await upload(ada, alt="a cat")
    path = f"/v1/media/{image['id']}"
    changed = await ada.send_command("PATCH", path, {"alt": "an owl"})
    assert changed == image | {"alt": "an owl"}
    bob = await register_user(world, "bob")
    refused = await bob.http.patch(path, json={"alt": "mine"})
    assert problem_of(refused) == (404, "media-not-found")
    made = await ada.send_command("POST", "/v1/posts", {"text": "x", "media": [image["id"]]})
    assert made["media"] == [changed]
    late = await ada.http.patch(path, json={"alt": "a dog"})
    assert problem_of(late) == (404, "media-not-found")


async def test_the_log_holds_the_image_sealed_texts_and_no_bytes(ada: SignedInUser) -> None:
    image = await upload(ada, alt="my secret garden")
    post = await ada.create_post("x", media=[image["id"]])
    [created] = ada.world.log.read_stream(f"post-{post}")
    assert image["id"].encode() in created.data
    assert b"garden" not in created.data
    assert len(created.data) < 1000
    await ada.world.project_all()
    rows = await ada.world.stores["posts"].scan(posts_table())
    assert "garden" not in str(rows)


def posts_table() -> Any:
    from projections.posts import POSTS

    return POSTS


async def test_an_image_goes_with_the_last_post_that_shows_it(
    world: ApiWorld, ada: SignedInUser
) -> None:
    bob = await register_user(world, "bob")
    image = await upload(ada)
    first = await ada.create_post("x", media=[image["id"]])
    assert (await upload(bob))["id"] == image["id"]
    second = await bob.create_post("y", media=[image["id"]])
    await sweep(world)
    await ada.send_command("DELETE", f"/v1/posts/{first}")
    await sweep(world)
    assert (await ada.http.get(image["url"])).status_code == 200
    await bob.send_command("DELETE", f"/v1/posts/{second}")
    await sweep(world)
    assert (await ada.http.get(image["url"])).status_code == 404
    assert world.media_store.files == {}
    assert (await upload(ada))["id"] == image["id"]
    assert (await ada.http.get(image["url"])).status_code == 200


async def test_what_is_not_shown_within_a_day_is_removed(
    world: ApiWorld, ada: SignedInUser
) -> None:
    image = await upload(ada)
    shown = await upload(ada, 1)
    await ada.create_post("x", media=[shown["id"]])
    world.clock.sleep(DAY_SECONDS + 1)
    refused = await ada.http.post("/v1/posts", json={"text": "x", "media": [image["id"]]})
    assert problem_of(refused) == (422, "media-unknown")
    world.clock.sleep(3600)
    await sweep(world)
    assert (await ada.http.get(image["url"])).status_code == 404
    assert (await ada.http.get(shown["url"])).status_code == 200


async def test_a_deleted_account_takes_its_images_along(world: ApiWorld, ada: SignedInUser) -> None:
    bob = await register_user(world, "bob")
    both = await upload(ada, 1)
    await ada.create_post("x", media=[both["id"]])
    await upload(bob, 1)
    await bob.create_post("x", media=[both["id"]])
    face, unshown = await upload(ada, 2), await upload(ada, 3)
    await ada.send_command("PATCH", "/v1/users/me", {"avatar": face["id"]})
    await sweep(world)
    await ada.send_command("DELETE", "/v1/users/me")
    await sweep(world)
    for image, status in ((both, 200), (face, 404), (unshown, 404)):
        assert (await bob.http.get(image["url"])).status_code == status


async def test_a_profile_shows_an_avatar_and_a_header_until_they_are_taken_away(
    world: ApiWorld, ada: SignedInUser, stranger: httpx.AsyncClient
) -> None:
    face, wide = await upload(ada, 1), await upload(ada, 2)
    wanted = {"avatar": face["id"], "header": wide["id"], "bio": "Writes"}
    changed = await ada.send_command("PATCH", "/v1/users/me", wanted)
    assert (changed["avatar"], changed["header"]) == (face["url"], wide["url"])
    shown = await ada.get_json("/v1/users/@ada")
    assert (shown["avatar"], shown["header"]) == (face["url"], wide["url"])
    await ada.send_command("PATCH", "/v1/users/me", {"bio": "Draws"})
    assert (await ada.get_json("/v1/users/@ada"))["avatar"] == face["url"]
    await sweep(world)
    again = await ada.http.patch("/v1/users/me", json={"header": face["id"]})
    assert problem_of(again) == (422, "media-unknown")
    gone = await ada.send_command("PATCH", "/v1/users/me", {"avatar": None})
    assert "avatar" not in gone
    assert gone["header"] == wide["url"]
    assert "avatar" not in await ada.get_json("/v1/users/@ada")
    await sweep(world)
    assert (await stranger.get(face["url"])).status_code == 404
    assert (await stranger.get(wide["url"])).status_code == 200


async def test_an_account_has_a_bounded_number_of_images_that_it_shows_nowhere(
    ada: SignedInUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.media.media_library.MOST_UNSHOWN", 2)
    assert MOST_UNSHOWN > 2
    first = await upload(ada, 1)
    await upload(ada, 2)
    await upload(ada, 2)
    refused = await send_image(ada, image_bytes(3))
    assert problem_of(refused) == (429, "too-many-uploads")
    assert int(refused.headers["retry-after"]) > 0
    await ada.create_post("x", media=[first["id"]])
    await upload(ada, 3)
