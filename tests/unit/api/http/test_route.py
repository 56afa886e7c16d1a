"""An application takes routes in as they are, and stays one of its own."""

import httpx
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute

from api.http.route import ApiRoute, include_routes
from api.v1 import posts
from tests.support.api_world import ApiWorld


def person() -> str:
    return "you"


async def greeting(name: str = Depends(person)) -> dict[str, str]:
    return {"hello": name}


async def greet_whom(app: FastAPI) -> str:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        name: str = (await client.get("/v1/greeting")).json()["hello"]
        return name


async def test_each_application_overrides_dependencies_for_itself() -> None:
    router = APIRouter(route_class=ApiRoute, prefix="/v1")
    router.add_api_route("/greeting", greeting)
    changed, other = FastAPI(), FastAPI()
    for app in (changed, other):
        include_routes(app, router)
    changed.dependency_overrides[person] = lambda: "Ada"
    assert (await greet_whom(changed), await greet_whom(other)) == ("Ada", "you")


def test_no_route_of_the_api_is_examined_again_for_an_application() -> None:
    """There are hundreds: it takes a quarter of a second."""
    of_application = [one for one in ApiWorld().app.routes if isinstance(one, APIRoute)]
    assert len(of_application) > 200
    examined = {id(one.dependant) for one in of_application}
    assert all(
        id(one.dependant) in examined for one in posts.router.routes if isinstance(one, APIRoute)
    )
