"""The API is a FastAPI application, and what FastAPI's users know of one works."""

import pytest
from fastapi import APIRouter
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.request import fresh_views
from api.http.route import ApiRoute
from api.http.tokens import Viewer, token_claims
from api.schemas import ApiModel
from api.state import CurrentState
from projections.profiles import PROFILES
from tests.support.api_world import ApiWorld, register_user


class NameLength(ApiModel):
    """How long a name is."""

    handle: str
    letters: int


router = APIRouter(prefix="/v1", route_class=ApiRoute, tags=["names"])


@router.get("/names", dependencies=[fresh_views("profiles")])
async def list_names(state: CurrentState, viewer: Viewer, least: int = 0) -> list[NameLength]:
    """How long names are."""
    open_text = state.ports.open_text
    rows = await state.ports.views.current_store("profiles").scan(PROFILES)
    found = [NameLength(handle=row.handle, letters=len(open_text(row.name))) for row in rows]
    return [one for one in found if one.letters >= least]


@pytest.fixture
def world() -> ApiWorld:
    """With an application that a test may change."""
    made = ApiWorld()
    made.make_own_application()
    return made


async def test_a_router_of_ones_own_has_the_dependencies_of_every_other(world: ApiWorld) -> None:
    world.app.include_router(router)
    ada = await register_user(world, "ada", "Ada")
    position = str(world.log.head())
    behind = await ada.http.get("/v1/names")
    assert behind.json() == []
    fresh = await ada.http.get("/v1/names", headers={"Starling-Position": position})
    assert fresh.json() == [{"handle": "ada", "letters": 3}]
    assert (await ada.http.get("/v1/names?least=4")).json() == []
    refused = await ada.http.get("/v1/names?least=x")
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-query")
    document = (await ada.http.get("/openapi.json")).json()
    assert document["paths"]["/v1/names"]["get"]["operationId"] == "list_names"
    assert 'path="/v1/names"' in (await ada.http.get("/metrics")).text


async def test_dependencies_can_be_overridden_for_hot_operations_too(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    await ada.create_post("hello")
    await world.project_all()
    stranger = world.new_client()
    assert (await stranger.get("/v1/timelines/home")).status_code == 401
    claims = await world.access_tokens.read_claims(ada.token.encode())
    world.app.dependency_overrides[token_claims] = lambda: claims
    assert (await stranger.get("/v1/timelines/home")).status_code == 200
    world.app.dependency_overrides.clear()
    assert (await stranger.get("/v1/timelines/home")).status_code == 401


async def test_middleware_can_be_added_around_hot_operations_too(world: ApiWorld) -> None:
    seen: list[str] = []

    class Recorder:
        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                seen.append(scope["path"])
            await self._app(scope, receive, send)

    world.app.add_middleware(Recorder)
    stranger = world.new_client()
    for path in ("/v1/timelines/public", "/health/live"):
        assert (await stranger.get(path)).status_code == 200
    assert seen == ["/v1/timelines/public", "/health/live"]


@pytest.mark.parametrize(
    ("name", "parameters", "path"),
    [("get_post", {"id": "7"}, "/v1/posts/7"), ("home_timeline", {}, "/v1/timelines/home"),
     ("like_post", {"id": "7"}, "/v1/posts/7/like"),
     ("follow_user", {"ref": "@ada"}, "/v1/users/@ada/follow")],
)  # fmt: skip
def test_routes_have_names(
    world: ApiWorld, name: str, parameters: dict[str, str], path: str
) -> None:
    assert world.app.url_path_for(name, **parameters) == path


async def test_the_documentation_needs_no_other_hosts(world: ApiWorld) -> None:
    stranger = world.new_client()
    page = (await stranger.get("/docs")).text
    assert "http://" not in page
    assert "https://" not in page
    script = await stranger.get("/docs/assets/swagger-ui-bundle.js")
    assert script.status_code == 200
    assert len(script.content) > 500_000


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/v1/timelines/public"])
async def test_head_is_answered_like_get_without_a_body(world: ApiWorld, path: str) -> None:
    stranger = world.new_client()
    head, get = await stranger.head(path), await stranger.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    for answer in (head, get):
        del answer.headers["x-request-id"]
    assert head.headers == get.headers


async def test_a_request_has_an_id_that_its_client_may_choose(world: ApiWorld) -> None:
    stranger = world.new_client()
    first, second = [await stranger.get("/v1/timelines/public") for _ in range(2)]
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
    chosen = await stranger.get("/v1/nothing", headers={"X-Request-Id": "mine-1"})
    assert chosen.headers["X-Request-Id"] == "mine-1"
