"""People who write something and delete it, and where their words can still be read."""

import subprocess
from pathlib import Path
from typing import Any, Final

from tests.support.media import image_bytes
from tests.support.running_server import register_user, send_request
from tests.support.starling_program import starling
from tests.support.waiting import wait_until

NAME, BIO = "Quillfeather Marker", "Born where the otters sing"
TEXT, FIRST, EDITED = "the walrus confessed", "a heron in the attic", "two herons in the attic"
ALT: Final = "a badger asleep in the pantry"
OWING, PAID = "those who owe me marbles", "those who paid in marbles"
NOTE: Final = "that one collects lighthouses"
TIRED, OF = "tired of this", "marzipan potatoes"
KEPT: Final = "the lighthouse stays lit"
WRITTEN: Final = (NAME, BIO, TEXT, FIRST, EDITED, ALT, OWING, PAID, NOTE, TIRED, OF)

ERASURE_SECONDS: Final = 20.0


def files_with(folder: Path, *texts: str) -> list[str]:
    """The files of a folder that hold one of these texts. Rings are sparse: grep skips holes."""
    command = ["grep", "--recursive", "--files-with-matches", "--text", "--fixed-strings"]
    wanted = [f"--regexp={text}" for text in texts]
    found = subprocess.run([*command, *wanted, folder], capture_output=True, text=True, check=False)
    assert found.returncode in {0, 1}, found.stderr
    return found.stdout.splitlines()


def readable_texts(data: Path) -> str:
    """All that the log of a data folder says with the keys that are there."""
    return starling("replay", "--data", data).stdout.decode()


class Writers:
    """Ada, who leaves, and Bob, who deletes a post, two lists and a filter, on a running server."""

    def __init__(self, server: str) -> None:
        self.server = server

    async def write(self) -> None:
        self.ada = await register_user(self.server, "ada")
        self.bob = await register_user(self.server, "bob")
        token = self.ada["token"]
        await self.send("PATCH", "/v1/users/me", token, {"name": NAME, "bio": BIO})
        self.image = await self.upload(token)
        post = {"text": TEXT, "media": [self.image]}
        self.post = await self.send("POST", "/v1/posts", token, post)
        about = f"/api/v1/accounts/{self.bob['id']}/note"
        await self.send("POST", about, token, {"comment": NOTE})
        token = self.bob["token"]
        self.deleted = await self.send("POST", "/v1/posts", token, {"text": FIRST})
        await self.send("PATCH", f"/v1/posts/{self.deleted}", token, {"text": EDITED})
        self.kept = await self.send("POST", "/v1/posts", token, {"text": KEPT})
        lists = "/api/v1/lists"
        self.lists = [
            await self.send("POST", lists, token, {"title": title}) for title in (OWING, PAID)
        ]
        words = {"title": TIRED, "context": ["home"], "keywords_attributes": [{"keyword": OF}]}
        self.filter = await self.send("POST", "/api/v2/filters", token, words)

    async def delete(self) -> None:
        await self.send("DELETE", f"/v1/posts/{self.deleted}", self.bob["token"])
        for id in self.lists:
            await self.send("DELETE", f"/api/v1/lists/{id}", self.bob["token"])
        await self.send("DELETE", f"/api/v2/filters/{self.filter}", self.bob["token"])
        await self.send("DELETE", "/v1/users/me", self.ada["token"])

    async def upload(self, token: str) -> str:
        """The id of an image, with what it shows in words."""
        form: dict[str, Any] = {"files": {"file": ("a.png", image_bytes())}, "data": {"alt": ALT}}
        answer = await send_request(self.server, "POST", "/v1/media", token, **form)
        assert answer.status_code == 201, answer.text
        id: str = answer.json()["id"]
        return id

    async def send(
        self, method: str, path: str, token: str, body: dict[str, Any] | None = None
    ) -> str:
        answer = await send_request(self.server, method, path, token, json=body)
        assert answer.status_code in {200, 201}, answer.text
        id: str = answer.json().get("id", "")
        return id


async def wait_until_erased(data: Path) -> None:
    await wait_until(
        lambda: not any(text in readable_texts(data) for text in WRITTEN), seconds=ERASURE_SECONDS
    )
