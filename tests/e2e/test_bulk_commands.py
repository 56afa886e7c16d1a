"""Many commands in one request."""

from typing import Any

import httpx
import msgspec
import pytest

from api.v1 import bulk
from tests.support.api_world import PASSWORD, ApiWorld, post_texts, register_user

REGISTER = [
    {"command": "register", "key": "ada", "data": {"handle": "ada", "name": "Ada"}},
    {"command": "register", "key": "bob", "data": {"handle": "bob", "name": "Bob"}},
]


def importer(world: ApiWorld) -> httpx.AsyncClient:
    return world.new_client(world.tokens.issue(1, ("import",)))


async def send(world: ApiWorld, *lines: Any) -> list[dict[str, Any]]:
    """What came of each line."""
    body = b"\n".join(
        line if isinstance(line, bytes) else msgspec.json.encode(line) for line in lines
    )
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await importer(world).post("/v1/commands", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [msgspec.json.decode(line) for line in answer.content.splitlines()]


async def test_lines_are_done_in_order_and_may_name_what_lines_before_made(world: ApiWorld) -> None:
    results = await send(
        world,
        *REGISTER,
        {"command": "follow", "as": "@bob", "key": "f", "data": {"user": "key:ada"}},
        {"command": "post", "as": "@ada", "key": "p", "data": {"text": "hello"}},
        {"command": "comment", "as": "@bob", "key": "c", "data": {"post": "key:p", "text": "hi"}},
        {"command": "like", "as": "key:bob", "key": "l", "data": {"post": "key:p"}},
    )
    assert [(line["key"], line["status"]) for line in results] == [
        ("ada", 201), ("bob", 201), ("f", 200), ("p", 201), ("c", 201), ("l", 200),
    ]  # fmt: skip
    assert int(results[-1]["position"]) == world.log.head()
    post = (await world.new_client().get(f"/v1/posts/{results[3]['id']}",
            headers={"Starling-Position": results[-1]["position"]})).json()  # fmt: skip
    assert (post["text"], post["likes"], post["comments"]) == ("hello", 1, 1)


async def test_a_bad_line_stops_none_after_it(world: ApiWorld) -> None:
    results = await send(
        world,
        *REGISTER,
        b"{not json",
        {"command": "dance", "key": "d"},
        {"command": "post", "as": "@ada", "key": "e", "data": {"text": ""}},
        {"command": "post", "as": "@missing", "key": "n", "data": {"text": "x"}},
        {"command": "post", "key": "a", "data": {"text": "x"}},
        {"command": "post", "as": "@ada", "key": "u", "data": {"text": "x", "madeup": 1}},
        {"command": "post", "as": "@ada", "key": "p", "data": {"text": "fine"}},
    )
    assert [line["status"] for line in results] == [201, 201, 422, 422, 422, 404, 422, 422, 201]
    for number, line in enumerate(results[2:8], 3):
        assert line["problem"]["line"] == number
        assert line["problem"]["type"].startswith("/problems/")
        assert line["problem"]["status"] == line["status"]
        assert "id" not in line


async def test_lines_keep_the_rules_of_texts_and_names(world: ApiWorld) -> None:
    results = await send(
        world,
        *REGISTER,
        {"command": "register", "key": "n", "data": {"handle": "eve", "name": "\u202eevE"}},
        {"command": "register", "key": "m", "data": {"handle": "eve", "name": "\u3164"}},
        {"command": "change_profile", "as": "@ada", "key": "c", "data": {"name": "A\u2066da"}},
        {"command": "post", "as": "@ada", "key": "p", "data": {"text": "\u200b\u2800"}},
        {"command": "post", "as": "@ada", "key": "q", "data": {"text": "x" + "\u0301" * 5000}},
        {"command": "post", "as": "@ada", "key": "r", "data": {"text": "http://a.de/" + "b" * 400}},
    )
    assert [line["status"] for line in results[2:]] == [422, 422, 422, 422, 422, 201]
    assert [line["problem"]["type"].rpartition("/")[2] for line in results[2:7]] == [
        "name-invalid", "name-empty", "name-invalid", "text-empty", "text-too-long"
    ]  # fmt: skip


async def test_a_line_too_deep_to_parse_stops_none_after_it(world: ApiWorld) -> None:
    deep = b'{"command": "post", "as": "@ada", "key": "d", "data": ' + b"[" * 20_000
    fine = {"command": "post", "as": "@ada", "key": "p", "data": {"text": "fine"}}
    results = await send(world, *REGISTER, deep, deep + b"]" * 20_000 + b"}", fine)
    assert [line["status"] for line in results] == [201, 201, 422, 422, 201]
    assert {line["problem"]["type"] for line in results[2:4]} == {"/problems/line-invalid"}


async def test_a_line_far_ahead_of_the_clock_is_refused(world: ApiWorld) -> None:
    line = {"command": "post", "as": "@ada", "at": "2079-01-01T00:00:00Z", "data": {"text": "x"}}
    results = await send(world, *REGISTER, line)
    assert (results[2]["status"], results[2]["problem"]["type"]) == (
        422,
        "/problems/time-out-of-range",
    )


async def test_a_batch_that_is_one_line_too_long_is_done_up_to_there(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "WINDOW_LINES", 2)
    monkeypatch.setattr(bulk, "BATCH_LINES_LIMIT", 2)
    results = await send(world, b"", *REGISTER, b"", {"command": "delete_account"}, b"")
    assert [line["status"] for line in results] == [201, 201, 413]
    assert results[2]["problem"]["line"] == 4


async def test_a_batch_sent_again_changes_nothing(world: ApiWorld) -> None:
    lines = [*REGISTER, {"command": "post", "as": "@ada", "key": "p", "data": {"text": "once"}}]
    first = await send(world, *lines)
    head = world.log.head()
    assert await send(world, *lines) == first
    assert world.log.head() == head
    (other,) = await send(
        world, {"command": "post", "as": "@ada", "key": "p", "data": {"text": "twice"}}
    )
    assert (other["status"], other["problem"]["type"]) == (422, "/problems/key-reused")


async def test_a_line_with_a_time_happened_then(world: ApiWorld) -> None:
    post = {"command": "post", "as": "@ada", "key": "p", "data": {"text": "old"}}
    results = await send(world, *REGISTER, post | {"at": "2012-03-04T05:06:07.089Z"})
    await world.project_all()
    shown = (await world.new_client().get(f"/v1/posts/{results[2]['id']}")).json()
    assert shown["date_posted"] == "2012-03-04T05:06:07.089Z"


async def test_a_registered_line_with_a_password_can_sign_in_and_one_without_later(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = REGISTER[0] | {
        "data": {"handle": "ada", "name": "Ada", "email": "ada@example.org", "password": PASSWORD}
    }
    results = await send(world, ada, REGISTER[1])
    session = {"handle": "ada", "password": PASSWORD}
    assert (await stranger.post("/v1/sessions", json=session)).status_code == 201
    bob = world.new_client(world.tokens.issue(int(results[1]["id"])))
    session = {"handle": "bob", "password": PASSWORD}
    assert (await stranger.post("/v1/sessions", json=session)).status_code == 401
    assert (await bob.patch("/v1/users/me", json={"password": PASSWORD})).status_code == 200
    assert (await stranger.post("/v1/sessions", json=session)).status_code == 201


async def test_an_import_needs_its_scope(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    answer = await ada.http.post("/v1/commands", content=b"{}")
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/scope-missing")
    assert "starling token" in answer.json()["detail"]


async def test_blank_lines_and_a_missing_end_of_line_are_fine(world: ApiWorld) -> None:
    results = await send(world, b"", REGISTER[0], b"  ", REGISTER[1])
    assert [line["status"] for line in results] == [201, 201]
    assert await send(world, b"") == []


async def test_a_batch_that_comes_in_pieces_is_the_same_batch(world: ApiWorld) -> None:
    lines = b"\n".join(msgspec.json.encode(line) for line in REGISTER)

    async def pieces() -> Any:
        for start in range(0, len(lines), 7):
            yield lines[start : start + 7]

    headers = {"Content-Type": "application/x-ndjson"}
    answer = await importer(world).post("/v1/commands", content=pieces(), headers=headers)
    assert [msgspec.json.decode(r)["status"] for r in answer.content.splitlines()] == [201, 201]


async def test_windows_of_lines_are_done_as_they_come(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "WINDOW_LINES", 3)
    posts = [
        {"command": "post", "as": "@ada", "key": str(n), "data": {"text": str(n)}}
        for n in range(10)
    ]
    results = await send(world, *REGISTER, *posts)
    assert [line["status"] for line in results] == [201] * 12
    await world.project_all()
    answer = await world.new_client().get("/v1/users/@ada/posts")
    assert post_texts(answer.json()) == [str(n) for n in range(9, -1, -1)]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [("BATCH_LINES_LIMIT", 2, "batch-too-long"), ("BATCH_BYTES_LIMIT", 250, "body-too-large"),
     ("LINE_BYTES_LIMIT", 100, "line-too-long")],
)  # fmt: skip
async def test_a_batch_that_is_too_large_says_how_far_it_was_done(
    monkeypatch: pytest.MonkeyPatch, name: str, value: int, code: str
) -> None:
    monkeypatch.setattr(bulk, "WINDOW_LINES", 1)
    monkeypatch.setattr(bulk, name, value)
    world = ApiWorld()
    world.make_own_application()

    async def pieces() -> Any:
        for line in REGISTER:
            yield msgspec.json.encode(line) + b"\n"
        yield b'{"command": "post", "as": "@ada", "data": {"text": "' + b"x" * 300

    headers = {"Content-Type": "application/x-ndjson"}
    answer = await importer(world).post("/v1/commands", content=pieces(), headers=headers)
    results = [msgspec.json.decode(line) for line in answer.content.splitlines()]
    assert [line["status"] for line in results] == [201, 201, 413]
    assert results[-1]["problem"]["type"] == f"/problems/{code}"
    assert results[-1]["problem"]["line"] == 3


async def test_what_is_announced_as_too_large_is_not_even_read(world: ApiWorld) -> None:
    headers = {"Content-Type": "application/x-ndjson", "Content-Length": str(17 << 20)}
    answer = await importer(world).post("/v1/commands", content=b"", headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/body-too-large")
