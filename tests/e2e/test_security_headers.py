"""What browsers and caches are told, and that no client's word gets into an address."""

import base64
import hashlib
import re

import httpx
import pytest

from api.ports import MetricsAudience
from tests.support.api_world import PASSWORD, ApiWorld, register_user


async def test_every_response_says_how_browsers_and_caches_may_use_it(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = await register_user(world, "ada")
    post = await ada.create_post("hello")
    for answer in (
        await ada.http.get("/v1/timelines/home"),
        await ada.http.get("/v1/users/me"),
        await ada.http.put(f"/v1/posts/{post}/like"),
        await stranger.get(f"/v1/posts/{post}"),
        await stranger.get("/v1/posts/x"),
        await stranger.get("/v1/timelines/home"),
        await stranger.get("/nowhere"),
        await stranger.get("/metrics"),
        await stranger.get("/openapi.json"),
        await stranger.head("/health/live"),
        await stranger.options("/v1/posts"),
        await stranger.post("/v1/posts", content=b"x" * (2 << 20)),
        await stranger.post("/v1/sessions", json={"handle": "ada", "password": PASSWORD}),
    ):
        shown = answer.headers
        assert shown["X-Content-Type-Options"] == "nosniff", answer
        assert shown["Referrer-Policy"] == "no-referrer"
        assert shown["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert shown["Cache-Control"] == "no-store"
        assert len(shown.get_list("Cache-Control")) == 1


async def test_a_failure_of_ours_has_them_too(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "projection_lags", lambda: 1 / 0)
    monkeypatch.setattr(world.ports.log, "write_problem", lambda: 1 / 0)
    transport = httpx.ASGITransport(world.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/health/ready")
    assert answer.status_code == 500
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_a_page_may_run_what_stands_in_it_and_comes_from_here(
    stranger: httpx.AsyncClient, path: str
) -> None:
    answer = await stranger.get(path)
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert "'unsafe-inline'" not in policy["script-src"]
    for kind, text in re.findall(r"<(script|style)>(.*?)</\1>", answer.text, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[f"{kind}-src"]
    assert not re.search(r"<[^>]+\s(on\w+|style)=", answer.text), "the policy forbids these"
    for kind, file in re.findall(
        r'<(script|link)[^>]+(?:src|href)="(?!data:)([^"]+)"', answer.text
    ):
        assert file.startswith("/docs/assets/")
        served = await stranger.get(file)
        assert served.status_code == 200
        assert kind == "link" or "'self'" in policy["script-src"]
        # Files of the program may be kept; they are asked for again by their entity tags.
        assert "no-store" not in served.headers.get("Cache-Control", "")


async def test_a_host_header_gets_into_no_response(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    for number in range(3):
        await ada.create_post(f"{number} #tag")
    await world.project_all()
    lies = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example",
        "X-Forwarded-Proto": "evil",
    }
    for path in (
        "/v1/timelines/home?limit=1",
        "/v1/timelines/public?limit=1",
        "/v1/hashtags/tag/posts?limit=1",
        "/v1/users/@ada/posts?limit=1",
        "/v1/users/@ada/followers?limit=1",
        "/v1/trends",
        "/openapi.json",
        "/docs",
        "/docs/",
        "/docs/assets",
        "/",
        "/v1/posts/",
    ):
        answer = await ada.http.get(path, headers=lies)
        assert "evil" not in f"{answer.headers} {answer.text}"
    assert "http://test/" in (await ada.http.get("/v1/timelines/home?limit=1")).headers["Link"]


async def test_the_figures_are_for_this_machine_and_for_operators(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    operator = {"Authorization": f"Bearer {world.tokens.issue(int(ada.id), ('operator',))}"}
    user = {"Authorization": f"Bearer {ada.token}"}
    for host, headers, status in (
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("::ffff:127.0.0.1", {}, 200),
        ("192.0.2.1", {}, 401),
        ("192.0.2.1", user, 403),
        ("192.0.2.1", operator, 200),
    ):
        transport = httpx.ASGITransport(world.app, client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/metrics", headers=headers)).status_code == status, host


@pytest.mark.parametrize(("audience", "status"), [("open", 200), ("off", 404)])
async def test_an_operator_opens_or_closes_the_figures(
    audience: MetricsAudience, status: int
) -> None:
    world = ApiWorld(metrics_audience=audience)
    transport = httpx.ASGITransport(world.app, client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/metrics")).status_code == status


@pytest.mark.parametrize(
    "password", ["password", "12345678", " " * 8, "PassWord1", "aaaaaaaa", "abababab", "qwertyuiop"]
)
async def test_passwords_that_are_tried_first_are_refused(
    world: ApiWorld, stranger: httpx.AsyncClient, password: str
) -> None:
    ada = await register_user(world, "ada")
    body = {"handle": "bob", "name": "Bob", "email": "b@example.org", "password": password}
    new = await stranger.post("/v1/users", json=body)
    change = {"password": password, "current_password": PASSWORD}
    changed = await ada.http.patch("/v1/users/me", json=change)
    for refused in (new, changed):
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/password-common")
    assert (await stranger.post("/v1/users", json=body | {"password": PASSWORD})).status_code == 201
