"""The fast path changes no answer: two worlds, one with it and one without, answer alike."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.soak import amount

UNIQUE_HEADERS = ("x-request-id",)

IDS = ("POST", "OTHER", "1", "0", "x", "@ada", "99999999999999999999", "%2F", "-1", "01")
PATHS = st.one_of(
    st.sampled_from(
        [
            "/v1/timelines/home",
            "/v1/timelines/public",
            "/v1/posts",
            "/v1/posts/",
            "/v1/clicks",
            "/api/v1/timelines/home",
        ]
    ),
    st.builds("/v1/posts/{}".format, st.sampled_from(IDS)),
    st.builds(
        "/v1/posts/{}/{}".format,
        st.sampled_from(IDS),
        st.sampled_from(["like", "retweet", "comments", "likes", ""]),
    ),
    st.builds(
        "/v1/users/{}/follow".format, st.sampled_from(["@ada", "@Bob", "@none", "me", "x", "7"])
    ),
    st.builds("/v1/hashtags/{}/posts".format, st.sampled_from(["sea", "%23sea", "none", "Sea"])),
)
QUERIES = st.sampled_from(
    ["", "?limit=1", "?limit=0", "?limit=", "?limit=99", "?max_id=POST", "?min_id=1&limit=2",
     "?since_id=1&limit=1", "?max_id=x", "?limit=1&limit=2", "?page=2", "?", "?limit=%31",
     "?max_id=99999999999999999999", "?limit=+1", "?limit=1&"]
)  # fmt: skip
BODIES = st.sampled_from(
    [b'{"text": "by the #sea"}', b'{"text": ""}', b'{"text": "a", "reply_to": "POST"}',
     b'{"text": "a", "reply_to": null}', b'{"text": "a", "more": 1}', b'{"text": 1}', b"{", b"",
     b"[]", b'{"text": "\\ud800"}', b'{"text": "\xff"}', b'{"text": "a", "text": "b"}',
     b'{"text": "a", "media": []}', b'{"text": "a", "reply_to": "1\\n"}',
     b'{"clicks": [{"session": "s", "kind": "view", "post": "1"}]}',
     b'{"clicks": [{"session": "s"}]}',
     b'{"clicks": [{"session": "\xff", "kind": "view", "post": "1"}]}',
     b'{"text": NaN}', b' {"text" : "blank"} ', b"\xef\xbb\xbf{}", b"[" * 3000]
)  # fmt: skip
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Starling-Position": st.sampled_from(["HEAD", "0", "x", "", "9" * 4400, " 1 "]),
        "Idempotency-Key": st.sampled_from(["a", "b", "", " a ", "x" * 201, "\x7f"]),
        "Content-Type": st.sampled_from(["application/json", "text/plain", "x/y; z"]),
        "Authorization": st.sampled_from(
            ["", "Bearer x", "Basic YTpi", "bearer TOKEN", "Bearer  TOKEN", "Bearer ANALYST"]
        ),
        "DNT": st.sampled_from(["1", "0"]),
        "Origin": st.just("https://page.example"),
    },
)
REQUESTS = st.tuples(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]),
    PATHS,
    QUERIES,
    BODIES,
    HEADERS,
)


class Twin:
    """A world, and the clients in it."""

    def __init__(self, fast_path: bool) -> None:
        self.world = ApiWorld(fast_path=fast_path)
        self.names: dict[str, str] = {}

    async def settle(self) -> None:
        """Two users, a post by each."""
        self.ada: SignedInUser = await register_user(self.world, "ada")
        bob = await register_user(self.world, "bob")
        self.names["POST"] = await bob.create_post("at #sea")
        self.names["OTHER"] = await self.ada.create_post("an #other one")
        await self.ada.send_command("PUT", "/v1/users/@bob/follow")
        await self.world.project_all()
        self.names["TOKEN"] = self.ada.token
        self.names["ANALYST"] = self.world.tokens.issue(int(self.ada.id), ("analyst",))

    async def answer(
        self, method: str, path: str, query: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        """What a request is answered."""
        self.world.clock.ms += 7
        names = {**self.names, "HEAD": str(self.world.log.head())}
        for name, value in names.items():
            path, query = path.replace(name, value), query.replace(name, value)
            body = body.replace(name.encode(), value.encode())
            headers = {key: text.replace(name, value) for key, text in headers.items()}
        client = self.ada.http if "Authorization" not in headers else self.world.new_client()
        response = await client.request(
            method, path + query, content=body if method in ("POST", "PATCH") else None,
            headers=headers,
        )  # fmt: skip
        await self.world.project_all()
        shown = [pair for pair in response.headers.items() if pair[0] not in UNIQUE_HEADERS]
        return response.status_code, response.content, sorted(shown)


@pytest.fixture(scope="module")
def twins() -> tuple[Twin, Twin]:
    """They live through all examples, since each does the same in both."""
    fast, plain = Twin(fast_path=True), Twin(fast_path=False)
    asyncio.run(fast.settle())
    asyncio.run(plain.settle())
    return fast, plain


@settings(max_examples=amount(100, 300), deadline=None, suppress_health_check=list(HealthCheck))
@given(REQUESTS)
def test_a_request_is_answered_alike_with_the_fast_path_and_without(
    twins: tuple[Twin, Twin], sent: Any
) -> None:
    fast, plain = twins

    async def compare() -> None:
        assert await fast.answer(*sent) == await plain.answer(*sent)

    asyncio.run(compare())
    assert fast.world.log.head() == plain.world.log.head()


async def test_the_fast_path_answers_what_it_is_there_for(monkeypatch: Any) -> None:
    """Without this, a fast path that leaves all to the framework would pass, too."""
    twin = Twin(fast_path=True)
    await twin.settle()

    async def unreachable(*_: Any) -> None:
        raise AssertionError("the framework was asked")

    monkeypatch.setattr(twin.world.app.router, "middleware_stack", unreachable)
    plain: dict[str, str] = {}
    text = b'{"text": "x"}'
    for method, path, status in (
        ("GET", "/v1/timelines/home", 200), ("GET", "/v1/timelines/public", 200),
        ("GET", "/api/v1/timelines/home", 200),
        ("GET", "/v1/hashtags/sea/posts", 200), ("GET", "/v1/posts/POST", 200),
        ("POST", "/v1/posts", 201), ("POST", "/v1/posts/POST/comments", 201),
        ("PUT", "/v1/posts/POST/like", 200), ("DELETE", "/v1/posts/POST/like", 200),
        ("PUT", "/v1/posts/POST/retweet", 200), ("DELETE", "/v1/posts/POST/retweet", 200),
        ("PUT", "/v1/users/@bob/follow", 200), ("DELETE", "/v1/users/@bob/follow", 200),
    ):  # fmt: skip
        assert (await twin.answer(method, path, "", text, plain))[0] == status, path
