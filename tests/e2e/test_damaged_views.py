"""A view that is damaged while its server runs is made again, without an operator."""

import os
import time
from pathlib import Path

import httpx

from infra.settings import Settings
from tests.support.data_folders import current_view_file
from tests.support.running_server import PASSWORD, running_server
from tests.support.waiting import PATIENCE_SECONDS

PAGE = 4096


def overwrite_pages(path: Path) -> None:
    """Everything behind the first page, in the file and in what is written ahead of it."""
    for file in (path, path.with_name(f"{path.name}-wal")):
        size = file.stat().st_size
        if size > PAGE:
            with file.open("r+b") as opened:
                opened.seek(PAGE)
                opened.write(os.urandom(size - PAGE))


def test_a_view_that_is_damaged_under_a_running_server_is_made_again(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with (
        running_server(tmp_path) as url,
        httpx.Client(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False) as client,
    ):
        account = {"handle": "ada", "name": "Ada", "email": "a@x.org", "password": PASSWORD}
        token = client.post("/v1/users", json=account).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        made = [client.post("/v1/posts", json={"text": f"post {n}"}) for n in range(60)]
        fresh = {"Starling-Position": made[-1].headers["starling-position"]}
        posts = [answer.json()["id"] for answer in made]
        assert client.get(f"/v1/posts/{posts[-1]}", headers=fresh).status_code == 200
        before = current_view_file(settings, "posts")
        overwrite_pages(before)
        end = time.monotonic() + 60
        while True:
            client.post("/v1/posts", json={"text": "more"})  # the projector reads its view
            statuses = {client.get(f"/v1/posts/{post}").status_code for post in posts}
            if statuses == {200} and not before.exists():
                break
            # A new view of a short log is filled in its place: for a moment it has not all of them.
            assert statuses <= {200, 404, 503}, statuses
            assert time.monotonic() < end, "the view is not made again"
        assert current_view_file(settings, "posts") != before
