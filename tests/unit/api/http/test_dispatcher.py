"""Finding a route by method and address."""

import pytest

from api.http.dispatcher import RouteMatch, RouteTable, WrongMethod
from api.http.messages import HttpRequest, HttpResponse
from api.http.routing import RouteSpec


async def handle(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, b"", [])


def route(method: str, path: str) -> RouteSpec:
    return RouteSpec(method, path, handle, "", None)


ME = route("GET", "/v1/users/me")
USER = route("GET", "/v1/users/{ref}")
FOLLOW = route("PUT", "/v1/users/{ref}/follow")
UNFOLLOW = route("DELETE", "/v1/users/{ref}/follow")
ROUTES = RouteTable([ME, USER, FOLLOW, UNFOLLOW])


def test_a_fixed_address_comes_before_one_with_a_place() -> None:
    assert ROUTES.find("GET", "/v1/users/me") == RouteMatch(ME, ())
    assert ROUTES.find("GET", "/v1/users/@ada") == RouteMatch(USER, ("@ada",))


def test_methods_of_one_address_are_distinguished() -> None:
    assert ROUTES.find("PUT", "/v1/users/7/follow") == RouteMatch(FOLLOW, ("7",))
    assert ROUTES.find("DELETE", "/v1/users/7/follow") == RouteMatch(UNFOLLOW, ("7",))


def test_head_is_answered_as_get() -> None:
    assert ROUTES.find("HEAD", "/v1/users/me") == RouteMatch(ME, ())


def test_a_wrong_method_lists_the_allowed_ones() -> None:
    assert ROUTES.find("POST", "/v1/users/7/follow") == WrongMethod(("PUT", "DELETE"))


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/users", "/v1/users/", "/v1/users/7/x", "", "//"])
def test_other_addresses_are_not_found(path: str) -> None:
    assert ROUTES.find("GET", path) is None


def test_two_routes_of_one_method_and_address_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two routes"):
        RouteTable([USER, route("GET", "/v1/users/{name}")])
