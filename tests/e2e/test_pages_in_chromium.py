"""The pages in Chromium: reading and writing at `/`, and the consent page of apps."""

import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
import uvicorn
from playwright.sync_api import Page, sync_playwright

from tests.support.api_world import PASSWORD, ApiWorld
from tests.support.requirements import skip_or_fail
from tests.support.waiting import PATIENCE_SECONDS


class AppOfAnotherOrigin(BaseHTTPRequestHandler):
    """An app in the browser: `/` leads to the consent page, `/done` is where it comes back to."""

    def do_GET(self) -> None:
        done = urlsplit(self.path).path == "/done"
        body = "let in" if done else f'<a href="{self.server.asking}">Sign in</a>'  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def chromium_page() -> Iterator[Page]:
    program = shutil.which("chromium")
    if program is None:
        skip_or_fail("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(30_000)
        yield page
        browser.close()


@pytest.fixture
def api_url() -> Iterator[str]:
    """The API in a thread of this process."""
    app = ApiWorld().make_own_application()
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def app_server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), AppOfAnotherOrigin) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_an_app_of_another_origin_signs_its_user_in_and_the_redirect_passes_the_policy(
    chromium_page: Page, api_url: str, app_server: ThreadingHTTPServer
) -> None:
    origin = f"http://127.0.0.1:{app_server.server_port}"
    with httpx.Client(base_url=api_url, trust_env=False, timeout=PATIENCE_SECONDS) as client:
        ada = {"handle": "ada", "name": "Ada", "email": "a@x.org", "password": PASSWORD}
        assert client.post("/v1/users", json=ada).status_code == 201
        new = {"client_name": "Phone", "redirect_uris": f"{origin}/done", "scopes": "read write"}
        app = client.post("/api/v1/apps", json=new).json()
        asked = {"response_type": "code", "client_id": app["client_id"], "scope": "read",
                 "redirect_uri": f"{origin}/done", "state": "s"}  # fmt: skip
        app_server.asking = f"{api_url}/oauth/authorize?{urlencode(asked)}"  # type: ignore[attr-defined]

        violations: list[str] = []
        chromium_page.on("console", lambda message: violations.append(message.text))
        chromium_page.goto(origin)
        chromium_page.get_by_role("link", name="Sign in").click()
        assert "Let Phone use your account?" in chromium_page.get_by_role("heading").inner_text()
        chromium_page.get_by_label("Handle or email address").fill("ada")
        chromium_page.get_by_label("Password").fill(PASSWORD)
        chromium_page.get_by_role("button", name="Sign in and allow").click()
        chromium_page.wait_for_url(f"{origin}/done?**")
        assert chromium_page.inner_text("body") == "let in"
        assert [text for text in violations if "Security Policy" in text] == []

        (code,) = parse_qs(urlsplit(chromium_page.url).query)["code"]
        given = {"grant_type": "authorization_code", "code": code, "redirect_uri": f"{origin}/done",
                 "client_id": app["client_id"], "client_secret": app["client_secret"]}  # fmt: skip
        assert client.post("/oauth/token", data=given).json()["scope"] == "read"


def test_a_user_registers_posts_and_signs_out_on_the_page(
    chromium_page: Page, api_url: str
) -> None:
    page, errors = chromium_page, list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(api_url)
    page.get_by_role("button", name="Register").click()
    fields = {"handle": "ada", "password": PASSWORD, "name": "Ada", "email": "a@x.org"}
    for name, value in fields.items():
        page.get_by_placeholder(name, exact=True).fill(value)
    page.get_by_role("button", name="Register").click()
    page.get_by_placeholder("What is new?").fill("Hello from the page")
    page.get_by_role("button", name="Post").click()
    page.get_by_role("article").get_by_text("Hello from the page").wait_for()
    token = page.evaluate("localStorage.token")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").wait_for()
    asked = httpx.get(f"{api_url}/v1/users/me", headers={"Authorization": f"Bearer {token}"})
    assert (asked.status_code, errors) == (401, [])
