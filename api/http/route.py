"""How routes of the API read a request, where FastAPI's own way would surprise clients, and how an
application takes them in.
"""

from collections.abc import Callable, Coroutine
from copy import copy
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response, params
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute, request_response
from pydantic_core import from_json
from starlette.convertors import StringConvertor, register_url_convertor

from api.http.errors import RequestRefused
from api.http.openapi import operation_name
from api.http.tokens import require_sent_token

RouteHandler = Callable[[Request], Coroutine[Any, Any, Response]]


class _DigitsConvertor(StringConvertor):
    """`{id:digits}` in a path: an id as it stands there, beside words at the same place."""

    regex = "[0-9]+"


register_url_convertor("digits", _DigitsConvertor())


class _BodyNotJson(RequestRefused):
    """The body of a route's request is no JSON."""

    def __init__(self, error: ValueError) -> None:
        super().__init__(400, "malformed-json", f"the body is no JSON: {error}")


class JsonRequest(Request):
    """A request whose body is JSON, read by the parser that also fills the models."""

    async def json(self) -> Any:
        """The body. Raises `RequestRefused` (400) where it is no JSON."""
        try:
            return from_json(await self.body())
        except ValueError as error:
            raise _BodyNotJson(error) from error


class ApiRoute(APIRoute):
    """A route that refuses unknown query parameters, as bodies refuse unknown fields; takes a JSON
    body whatever its declared type, since `curl -d` declares a form; and leaves fields out of its
    response that are None. A token that is none is refused before any of it.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        options |= {
            "response_model_exclude_none": True,
            "strict_content_type": False,
            "generate_unique_id_function": operation_name,
        }
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> RouteHandler:
        """The handler that FastAPI makes, with what is above around it."""
        handle = super().get_route_handler()
        known = _query_names(self.dependant)
        reads_json = self.body_field is not None and not isinstance(
            self.body_field.field_info, params.Form
        )

        async def handle_request(request: Request) -> Response:
            for name in request.query_params:
                if name not in known:
                    await require_sent_token(request, self.dependant)
                    raise RequestRefused(422, "invalid-query", _unknown_parameter(name, known))
            if not reads_json:
                return await handle(request)
            request.scope["headers"] = [
                header for header in request.scope["headers"] if header[0] != b"content-type"
            ]
            try:
                return await handle(JsonRequest(request.scope, request.receive))
            except _BodyNotJson:
                # FastAPI reads the body before the dependencies.
                await require_sent_token(request, self.dependant)
                raise

        return handle_request


def _query_names(dependant: Dependant) -> set[str]:
    """The query parameters of a route and of all that it depends on."""
    names = {field.alias for field in dependant.query_params}
    return names.union(*map(_query_names, dependant.dependencies))


def _unknown_parameter(name: str, known: set[str]) -> str:
    names = ", ".join(sorted(known))
    there_are = f"it takes {names}" if names else "it takes none"
    return f"this address takes no parameter `{name[:40]}`: {there_are}"


def include_routes(app: FastAPI, router: APIRouter) -> None:
    """Give an application the routes of a router, as they are.

    `app.include_router` would examine each again, a quarter of a second for all at the first
    request, and would look for each request's in one router after another, which takes longer than
    many a response. Of what it may add, these routes need the application's `dependency_overrides`
    and the names of operations.
    """
    for route in router.routes:
        if isinstance(route, APIRoute):
            own = copy(route)
            own.dependency_overrides_provider = app
            own.unique_id = operation_name(own)
            own.app = request_response(own.get_route_handler())
            app.router.routes.append(own)
        else:
            assert isinstance(route, APIWebSocketRoute)
            app.router.add_api_websocket_route(route.path, route.endpoint, route.name)
