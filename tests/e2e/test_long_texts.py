"""Texts of a megabyte, wherever text comes in: refused at once, before any work on them."""

import json
import time
from typing import Any

import httpx
import pytest

from tests.support.api_world import PASSWORD, ApiWorld, register_user

QUICK_SECONDS = 5.0
"""Of CPU time."""

MARKS = "\u0315\u0300" * 200_000
"""NFC of these is quadratic in older Pythons: minutes."""

LONG_TEXTS = {
    "marks": MARKS,
    "letters": "a" * 900_000,
    "blanks": " " * 900_000,
    "ats": "@" * 900_000,
}

NEW_USER = {"handle": "bob", "name": "Bob", "email": "b@example.org", "password": PASSWORD}

FIELDS: list[tuple[str, str, dict[str, Any], str]] = [
    *(("POST", "/v1/users", NEW_USER, field) for field in (*NEW_USER, "bio")),
    ("POST", "/v1/sessions", {"handle": "ada", "password": PASSWORD}, "handle"),
    ("POST", "/v1/sessions", {"handle": "ada", "password": PASSWORD}, "password"),
    ("PATCH", "/v1/users/me", {}, "name"),
    ("PATCH", "/v1/users/me", {}, "bio"),
    ("PATCH", "/v1/users/me", {"current_password": PASSWORD}, "email"),
    ("PATCH", "/v1/users/me", {"current_password": PASSWORD}, "password"),
    ("PATCH", "/v1/users/me", {"password": PASSWORD}, "current_password"),
    ("POST", "/v1/posts", {}, "text"),
    ("POST", "/v1/posts", {"text": "a"}, "reply_to"),
    ("POST", "/v1/posts/POST/comments", {}, "text"),
    ("PATCH", "/v1/posts/POST", {}, "text"),
]

PATHS = (
    "/v1/hashtags/LONG/posts", "/v1/users/@LONG", "/v1/posts/LONG", "/v1/users/@LONG/followers",
    "/v1/trends?at=LONG", "/v1/events?type=LONG", "/v1/events?user=@LONG", "/v1/events?from=LONG",
)  # fmt: skip

HEADERS = ("Idempotency-Key", "Authorization", "X-Request-Id", "Accept")


@pytest.mark.parametrize("long", LONG_TEXTS)
async def test_long_fields_addresses_and_headers_cost_no_work(world: ApiWorld, long: str) -> None:
    """Fields of a megabyte, addresses and headers as long as the server takes them."""
    text = LONG_TEXTS[long]
    ada = await register_user(world, "ada")
    post = await ada.create_post("hello")
    token = world.tokens.issue(int(ada.id), ("user", "analyst"))

    async def send(method: str, path: str, **more: Any) -> httpx.Response:
        async with world.new_client(token) as client:
            began = time.process_time()
            answer = await client.request(method, path.replace("POST", post), **more)
        assert time.process_time() - began < QUICK_SECONDS, (method, path)
        assert len(answer.content) < 20_000, "the answer repeats it"
        return answer

    for method, path, body, field in FIELDS:
        sent = json.dumps({**body, field: text}, ensure_ascii=False).encode()
        answer = await send(method, path, content=sent)
        # A bio of blanks is empty.
        allowed = (200, 201) if (field, long) == ("bio", "blanks") else (413, 422)
        assert answer.status_code in allowed, (method, path, field, answer.text[:200])
    for path in PATHS:
        answer = await send("GET", path.replace("LONG", text[:2_000]))
        assert answer.status_code in (200, 404, 422), path
    for name in HEADERS:
        headers = {name: text.encode()[:30_000]}
        answer = await send("POST", "/v1/posts", json={"text": "a"}, headers=headers)
        assert answer.status_code in (201, 401, 422), name
