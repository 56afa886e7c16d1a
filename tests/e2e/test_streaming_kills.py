"""`kill -9` of the API process under streaming load: a reader that resumes misses nothing."""

import asyncio
import json
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.support.retrying_client import RETRY_SECONDS, RetryingClient
from tests.support.server_processes import running_processes
from tests.support.soak import amount
from tests.support.waiting import PATIENCE_SECONDS

KILLS: Final = amount(1, 60)
POSTS_BETWEEN: Final = 15
"""Posts that the reader hears of between two kills, at least."""


class ResumingReader:
    """A reader of `GET /v1/stream` that comes back with the last id, as browsers do."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = f"{url}/v1/stream"
        self._headers = {"Authorization": f"Bearer {token}"}
        self.heard: list[str] = []
        """The texts of the posts, in the order in which they came."""
        self.notified: list[str] = []
        """The texts of the posts that mentioned the reader."""
        self.breaks = 0
        self.connected = asyncio.Event()

    async def read(self) -> None:
        while True:
            try:
                async with self._session.get(self._url, headers=self._headers) as response:
                    if response.status == 200:
                        await self._read_events(response)
            except aiohttp.ClientError:
                pass  # killed: the next process has to answer
            self.breaks += 1
            await asyncio.sleep(RETRY_SECONDS)

    async def _read_events(self, response: aiohttp.ClientResponse) -> None:
        fields: dict[str, str] = {}
        async for raw in response.content:
            line = raw.decode().rstrip("\n")
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
                continue
            if "id" in fields:
                self._headers["Last-Event-ID"] = fields["id"]
                self.connected.set()
            if fields.get("event") == "post":
                self.heard.append(json.loads(fields["data"])["text"])
            elif fields.get("event") == "notification":
                self.notified.append(json.loads(fields["data"])["post"]["text"])
            fields = {}

    async def wait_for_posts(self, many: int) -> None:
        async with asyncio.timeout(60):
            while len(self.heard) < many:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def write(author: RetryingClient, texts: list[str], stop: asyncio.Event) -> None:
    while not stop.is_set():
        text = f"{author.handle} says {len(texts)} to @reader"
        answer = await author.request("POST", "/v1/posts", {"text": text})
        assert answer.status == 201, answer
        texts.append(text)


@pytest.mark.timeout(1800 if KILLS > 1 else 200)
async def test_a_reader_that_resumes_hears_of_every_event_once_and_in_order(
    tmp_path: Path,
) -> None:
    async with running_processes(tmp_path) as running, aiohttp.ClientSession() as session:
        api = await running.start_api()
        await running.start_projector()
        follower = RetryingClient(session, running.url, "reader")
        authors = [RetryingClient(session, running.url, f"author_{n}") for n in range(3)]
        for one in (follower, *authors):
            assert (await one.register()).status == 201
        for author in authors:
            await follower.request("PUT", f"/v1/users/@{author.handle}/follow")
        reader = ResumingReader(session, running.url(), follower.token)
        reading = asyncio.create_task(reader.read())
        async with asyncio.timeout(60):
            await reader.connected.wait()
        stop, written = asyncio.Event(), [list[str]() for _ in authors]
        pairs = zip(authors, written, strict=True)
        writing = [asyncio.create_task(write(one, texts, stop)) for one, texts in pairs]
        for _ in range(KILLS):
            await reader.wait_for_posts(len(reader.heard) + POSTS_BETWEEN)
            await running.kill(api)
            api = await running.start_api()
        await reader.wait_for_posts(len(reader.heard) + POSTS_BETWEEN)
        stop.set()
        await asyncio.gather(*writing)
        await reader.wait_for_posts(sum(map(len, written)))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(reader.notified) < len(reader.heard):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    for author, texts in zip(authors, written, strict=True):
        of_author = [text for text in reader.heard if text.startswith(f"{author.handle} ")]
        assert of_author == texts
    assert reader.notified == reader.heard
    assert reader.breaks >= KILLS
