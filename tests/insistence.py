"""People who insist: they ask until they are answered, with one key, and remember what was said.

What an answer promised has to hold at the end, whatever was killed meanwhile.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import aiohttp

PAUSE: Final = 0.05
"""Seconds before asking again."""


class Answer(NamedTuple):
    """A final answer: a success or a refusal."""

    status: int
    body: Any
    position: int


class Person:
    """Somebody signed in, who alone acts for this account and does one thing after the other."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        urls: Callable[[], str],
        handle: str,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        """`urls` gives the address for each attempt; `answered` is called after each answer."""
        self._session = session
        self._urls = urls
        self._answered = answered
        self._rng = random.Random(handle)
        self._keys = 0
        self.handle = handle
        self.email = f"{handle}@example.org"
        self.id = 0
        self.token = ""
        self.posts: dict[str, Answer] = {}
        """What was answered to each post, by its text."""
        self.holds: dict[tuple[str, int], bool] = {}
        """Whether this person likes, retweets or follows what, as last answered."""

    async def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Ask until there is an answer; every attempt has the same key."""
        self._keys += 1
        headers = {"Idempotency-Key": f"{self.email}-{self._keys}"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        while True:
            try:
                async with self._session.request(
                    method, self._urls() + path, json=body, headers=headers
                ) as answer:
                    said = await answer.json(content_type=None)
                    position = int(answer.headers.get("Starling-Position", 0))
                    if answer.status != 503:
                        self._answered()
                        return Answer(answer.status, said, position)
            except (aiohttp.ClientError, TimeoutError):
                pass  # the process died: another one, or the next, has to answer
            await asyncio.sleep(PAUSE)

    async def join(self) -> Answer:
        """Sign up."""
        body = {
            "handle": self.handle,
            "name": self.handle.title(),
            "email": self.email,
            "password": f"the password of {self.handle}",
        }
        answer = await self.ask("POST", "/v1/users", body)
        if answer.status == 201:
            self.id, self.token = int(answer.body["id"]), answer.body["token"]
        return answer

    async def sign_in(self) -> Answer:
        """Sign in with the password of `join`."""
        body = {"handle": self.handle, "password": f"the password of {self.handle}"}
        return await self.ask("POST", "/v1/sessions", body)

    async def live(self, posts: list[int], people: Iterable[int], stop: asyncio.Event) -> None:
        """Post, comment, like, retweet, follow and take it back until `stop` is set.

        `posts` are known to all, and grow.
        """
        others = [id for id in people if id != self.id]
        while not stop.is_set():
            deed = self._rng.choice(
                ("post", "post", "comment", "like", "like", "retweet", "follow")
            )
            if deed == "post" or not posts:
                posts.append(await self._post("/v1/posts"))
            elif deed == "comment":
                await self._post(f"/v1/posts/{self._rng.choice(posts)}/comments")
            elif deed == "follow":
                await self._turn("users", self._rng.choice(others), "follow")
            else:
                # Few targets, so that things are taken back and done again.
                await self._turn("posts", self._rng.choice(posts[-20:]), deed)

    async def _post(self, path: str) -> int:
        text = f"{self.handle} says {len(self.posts)}"
        answer = await self.ask("POST", path, {"text": text})
        assert answer.status == 201, answer
        self.posts[text] = answer
        return int(answer.body["id"])

    async def _turn(self, things: str, target: int, relation: str) -> None:
        held = self.holds.get((relation, target), False)
        method = "DELETE" if held else "PUT"
        answer = await self.ask(method, f"/v1/{things}/{target}/{relation}")
        assert answer.status in (200, 201), answer
        self.holds[relation, target] = not held
