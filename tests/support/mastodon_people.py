"""People with tokens on a running server, for clients of the Mastodon API that are not ours."""

import html
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.running_server import PASSWORD, running_server


class SignedInPerson(NamedTuple):
    """An account, and a token of it."""

    server: str
    handle: str
    id: str
    token: str


@contextmanager
def mastodon_server(data: Path) -> Iterator[str]:
    """The address of a server with two API processes. Clients ask it without a proxy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        with running_server(data, STARLING_LIMITS="off") as server:
            yield server


def sign_up(server: str, handle: str) -> SignedInPerson:
    """Register an account."""
    body = {"handle": handle, "name": handle, "email": f"{handle}@x.org", "password": PASSWORD}
    answer = httpx.post(f"{server}/v1/users", json=body, trust_env=False, timeout=60, verify=False)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return SignedInPerson(server, handle, made["id"], made["token"])


def allow_app(address: str, handle: str) -> str:
    """The code that the consent page at an address shows to a person who allows what it asks."""
    with httpx.Client(trust_env=False, timeout=60, verify=False) as browser:
        page = browser.get(address)
        assert page.status_code == 200, page.text
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.text)
        filled = {"username": handle, "password": PASSWORD, "decision": "allow"}
        form = {name: html.unescape(value) for name, value in hidden} | filled
        answer = browser.post(page.url.copy_with(query=None), data=form)
    found = re.search(r'<code id="code">([^<]+)</code>', answer.text)
    assert found is not None, answer.text
    return found[1]


def write_posts(person: SignedInPerson, count: int) -> list[str]:
    """Texts that someone posted, several at a time; the views may not have them yet."""
    headers = {"Authorization": f"Bearer {person.token}"}
    with httpx.Client(headers=headers, trust_env=False, timeout=60, verify=False) as client:

        def post(number: int) -> str:
            text = f"post number {number}"
            answer = client.post(f"{person.server}/v1/posts", json={"text": text})
            assert answer.status_code == 201, answer.text
            made: str = answer.json()["id"]
            return made

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(post, range(count)))
