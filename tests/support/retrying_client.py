"""People who insist: they ask until they are answered, with one key, and remember what was said.

What an answer promised has to hold at the end, whatever was killed meanwhile.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import aiohttp

RETRY_SECONDS: Final = 0.05
"""Seconds before asking again."""


class FinalResponse(NamedTuple):
    """A final answer: a success or a refusal."""

    status: int
    body: Any
    position: int


class RetryingClient:
    """The only client of one account, signed in; it sends one request after the other."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        urls: Callable[[], str],
        handle: str,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        """`urls` gives the address for each attempt; `answered` is called after each answer."""
        self._session = session
        self._next_url = urls
        self._on_response = answered
        self._rng = random.Random(handle)
        self._key_count = 0
        self.handle = handle
        self.email = f"{handle}@example.org"
        self.id = 0
        self.token = ""
        self.acknowledged_posts: dict[str, FinalResponse] = {}
        """What was answered to each post, by its text."""
        self.acknowledged_relations: dict[tuple[str, int], bool] = {}
        """Whether this person likes, retweets or follows what, as last answered."""

    async def request(self, method: str, path: str, body: object = None) -> FinalResponse:
        """Ask until there is an answer; every attempt has the same key."""
        self._key_count += 1
        headers = {"Idempotency-Key": f"{self.email}-{self._key_count}"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        while True:
            try:
                async with self._session.request(
                    method, self._next_url() + path, json=body, headers=headers
                ) as answer:
                    said = await answer.json(content_type=None)
                    position = int(answer.headers.get("Starling-Position", 0))
                    if answer.status != 503:
                        self._on_response()
                        return FinalResponse(answer.status, said, position)
            except (aiohttp.ClientError, TimeoutError):
                pass  # the process died: another one, or the next, has to answer
            await asyncio.sleep(RETRY_SECONDS)

    async def register(self) -> FinalResponse:
        """Sign up."""
        body = {
            "handle": self.handle,
            "name": self.handle.title(),
            "email": self.email,
            "password": f"the password of {self.handle}",
        }
        answer = await self.request("POST", "/v1/users", body)
        if answer.status == 201:
            self.id, self.token = int(answer.body["id"]), answer.body["token"]
        return answer

    async def sign_in(self) -> FinalResponse:
        """Sign in with the password of `join`."""
        body = {"handle": self.handle, "password": f"the password of {self.handle}"}
        return await self.request("POST", "/v1/sessions", body)

    async def act_randomly(
        self, posts: list[int], people: Iterable[int], stop: asyncio.Event
    ) -> None:
        """Post, comment, like, retweet, follow and take it back until `stop` is set.

        `posts` are known to all, and grow.
        """
        others = [id for id in people if id != self.id]
        while not stop.is_set():
            deed = self._rng.choice(
                ("post", "post", "comment", "like", "like", "retweet", "follow")
            )
            if deed == "post" or not posts:
                posts.append(await self._create_post("/v1/posts"))
            elif deed == "comment":
                await self._create_post(f"/v1/posts/{self._rng.choice(posts)}/comments")
            elif deed == "follow":
                await self._toggle_relation("users", self._rng.choice(others), "follow")
            else:
                # Few targets, so that things are taken back and done again.
                await self._toggle_relation("posts", self._rng.choice(posts[-20:]), deed)

    async def _create_post(self, path: str) -> int:
        text = f"{self.handle} says {len(self.acknowledged_posts)}"
        answer = await self.request("POST", path, {"text": text})
        assert answer.status == 201, answer
        self.acknowledged_posts[text] = answer
        return int(answer.body["id"])

    async def _toggle_relation(self, things: str, target: int, relation: str) -> None:
        held = self.acknowledged_relations.get((relation, target), False)
        method = "DELETE" if held else "PUT"
        answer = await self.request(method, f"/v1/{things}/{target}/{relation}")
        assert answer.status in (200, 201), answer
        self.acknowledged_relations[relation, target] = not held
