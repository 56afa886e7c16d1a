"""Reading one's own writes, and whether the server is well."""

import asyncio
from collections.abc import Collection

import httpx
import pytest

from infra.in_memory.read_store import MemoryReadStore
from projections.store import StoreUnavailable
from tests.support.api_world import WITH_AND_WITHOUT_FAST_PATH, ApiWorld, post_texts, register_user

pytestmark = WITH_AND_WITHOUT_FAST_PATH


async def test_a_query_with_a_commands_position_sees_its_effect(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    made = await ada.http.post("/v1/posts", json={"text": "just now"})
    behind = await ada.http.get("/v1/timelines/home")
    assert behind.json() == []
    position = {"Starling-Position": made.headers["Starling-Position"]}
    assert post_texts((await ada.http.get("/v1/timelines/home", headers=position)).json()) == [
        "just now"
    ]


async def test_waiting_for_a_position_also_drops_what_was_cached_before_it(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    post = await ada.create_post("hello")
    await ada.get_json("/v1/timelines/home")
    liked = await ada.http.put(f"/v1/posts/{post}/like")
    position = {"Starling-Position": liked.headers["Starling-Position"]}
    (shown,) = (await ada.http.get("/v1/timelines/home", headers=position)).json()
    assert (shown["likes"], shown["liked"]) == (1, True)


async def test_a_query_does_not_wait_longer_than_two_seconds(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    made = await ada.http.post("/v1/posts", json={"text": "just now"})
    waited: list[tuple[Collection[str], int, float]] = []

    async def never(projections: Collection[str], position: int, timeout: float) -> bool:
        waited.append((projections, position, timeout))
        return False

    world.wait_for = never
    position = made.headers["Starling-Position"]
    answer = await ada.http.get("/v1/timelines/home", headers={"Starling-Position": position})
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/views-behind")
    assert answer.headers["Retry-After"] == "1"
    ((projections, waited_for, timeout),) = waited
    assert {"timeline", "posts", "profiles"} <= set(projections)
    assert (waited_for, timeout) == (int(position), 2.0)


async def test_a_position_beyond_the_log_is_refused_at_once(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")

    async def never(projections: Collection[str], position: int, timeout: float) -> bool:
        raise AssertionError("nothing to wait for")

    world.wait_for = never
    beyond = {"Starling-Position": str(world.log.head() + 1)}
    for path in ("/v1/timelines/home", "/v1/users/me", "/v1/users/@ada/followers", "/v1/trends"):
        answer = await ada.http.get(path, headers=beyond)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/position-beyond-log")


@pytest.mark.parametrize("position", ["x", "-1", "", "1.5", "9" * 40])
async def test_a_position_that_can_be_none_is_refused(world: ApiWorld, position: str) -> None:
    ada = await register_user(world, "ada")
    answer = await ada.http.get("/v1/timelines/home", headers={"Starling-Position": position})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-position")


async def test_a_post_whose_author_is_not_in_the_views_yet_is_shown_with_its_author(
    world: ApiWorld,
) -> None:
    ada = await register_user(world, "ada", "Ada")
    await ada.create_post("first words")
    await world.project_only("posts", "timeline")
    answer = await world.new_client().get("/v1/timelines/public")
    assert answer.json()[0]["posted_by"]["name"] == "Ada"


async def test_a_post_that_only_the_timeline_has_yet_is_waited_for(world: ApiWorld) -> None:
    ada = await register_user(world, "ada", "Ada")
    await ada.create_post("first words")
    await world.project_only("timeline", "profiles")
    answer = await world.new_client().get("/v1/timelines/public")
    assert post_texts(answer.json()) == ["first words"]


async def test_many_readers_at_once_get_the_same_page(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    for number in range(30):
        await ada.create_post(str(number))
    await world.project_all()
    answers = await asyncio.gather(*(ada.http.get("/v1/timelines/home") for _ in range(20)))
    assert len({answer.content for answer in answers}) == 1


async def test_the_process_is_alive(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


async def test_the_server_is_ready_while_its_views_keep_up(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = await register_user(world, "ada")
    await world.project_all()
    for number in range(world.ports.health.ready_within // 2):
        await ada.create_post(str(number))
    answer = await stranger.get("/health/ready")
    assert answer.status_code == 200
    seen = answer.json()["projections"]["posts"]
    assert seen["ready"]
    assert 1 <= seen["lag"] <= world.ports.health.ready_within
    for number in range(2 * world.ports.health.ready_within):
        await ada.create_post(f"too many: {number}")
    answer = await stranger.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert "posts" in answer.json()["detail"]
    await world.project_all()
    assert (await stranger.get("/health/ready")).status_code == 200


async def test_a_single_event_that_no_projector_applies_makes_the_server_unready(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = await register_user(world, "ada")
    await world.project_all()
    world.heartbeat_age = 11.0
    assert (await stranger.get("/health/ready")).status_code == 200, "nothing waits for a projector"
    await ada.create_post("is this shown?")
    answer = await stranger.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["projections"]["posts"] == {"lag": 1, "ready": False}
    assert "1 events wait" in answer.json()["detail"]
    world.heartbeat_age = 1.0
    assert (await stranger.get("/health/ready")).status_code == 200


async def test_the_server_is_not_ready_while_a_view_can_not_be_read(
    world: ApiWorld, stranger: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(projection: str) -> MemoryReadStore:
        raise StoreUnavailable(f"the view {projection!r} is not there yet")

    await world.project_all()
    assert (await stranger.get("/health/ready")).status_code == 200
    monkeypatch.setattr(world, "current_store", gone)
    answer = await stranger.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")


async def test_a_post_is_answered_although_no_view_can_be_read(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(projection: str) -> MemoryReadStore:
        raise StoreUnavailable(f"the view {projection!r} is not there yet")

    ada = await register_user(world, "ada")
    await world.project_all()
    monkeypatch.setattr(world, "current_store", gone)
    made = await ada.http.post("/v1/posts", json={"text": "all the same"})
    assert made.status_code == 201
    assert made.json()["posted_by"]["handle"] == "ada"


async def test_metrics_count_requests_by_address_and_status(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    ada = await register_user(world, "ada")
    await ada.create_post("hello")
    for _ in range(3):
        await stranger.get("/v1/posts/123456")
    text = (await stranger.get("/metrics")).text
    assert 'method="GET",path="/v1/posts/{id}"' in text
    lines = [line for line in text.splitlines() if 'path="/v1/posts/{id}"' in line]
    assert any('status="404"} 3.0' in line for line in lines)
    assert any("_count" in line and line.endswith(" 3.0") for line in lines), lines
    assert 'starling_projection_lag{projection="posts"} ' in text


async def test_a_paused_projection_is_said_where_the_server_is_ready(
    world: ApiWorld, stranger: httpx.AsyncClient
) -> None:
    assert "detail" not in (await stranger.get("/health/ready")).json()
    world.admin.paused = frozenset({"trending", "posts"})
    answer = await stranger.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.json()["detail"] == (
        "degraded: paused, and kept as they are: posts, trending; see 'starling projections resume'"
    )


async def test_the_server_is_not_ready_while_the_log_can_not_be_written(
    world: ApiWorld, stranger: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.log, "write_problem", lambda: "database or disk is full")
    answer = await stranger.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert "commands can't be taken: database or disk is full" in answer.json()["detail"]
    monkeypatch.undo()
    assert (await stranger.get("/health/ready")).status_code == 200


@pytest.mark.parametrize("position", ["1" * 4400, "9" * 19, "-1", "x", "", "1.5", "\u0661"])
async def test_what_is_no_position_is_refused_and_breaks_nothing(
    world: ApiWorld, position: str
) -> None:
    ada = await register_user(world, "ada")
    for path in ("/v1/timelines/home", "/v1/users/@ada/followers", "/v1/trends", "/v1/users/me"):
        answer = await ada.http.get(path, headers={b"Starling-Position": position.encode()})
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-position")


async def test_an_operator_is_told_what_projections_leave_out(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    token = world.tokens.issue(int(ada.id), ("operator",))
    async with world.new_client(token) as operator:
        assert "skips" not in (await operator.get("/v1/projections")).json()[0]
        world.admin.skips = frozenset({30, 4})
        assert (await operator.get("/v1/projections")).json()[0]["skips"] == ["4", "30"]


async def test_the_server_says_soon_that_it_is_not_ready_where_no_store_says_what_is_paused(
    world: ApiWorld, stranger: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> frozenset[str]:
        return await asyncio.Future[frozenset[str]]()

    monkeypatch.setattr(world.admin, "paused_projections", hang)
    async with asyncio.timeout(20):  # without a bound it would never come
        answer = await stranger.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert "did not answer" in answer.json()["detail"]
