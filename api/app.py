"""The API, assembled: ports in, an ASGI application out."""

from collections.abc import Awaitable, Callable
from importlib import resources
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI, Request
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.accounts.registration import AccountRegistrar
from api.http import openapi, problems
from api.http.cors import AnyOriginCors
from api.http.dispatcher import Dispatcher
from api.http.errors import (
    INTERNAL_ERROR,
    PROBLEM_MEDIA_TYPE,
    ProblemResponse,
    translate_framework_error,
)
from api.http.metrics import ProcessMetrics
from api.http.routing import RouteTable
from api.ports import Ports
from api.v1 import lists, relations, route_specs
from api.v1.admin import ProjectionEndpoints
from api.v1.bulk import BulkEndpoint
from api.v1.commands import CommandEndpoints
from api.v1.events import EventsEndpoint
from api.v1.health import HealthEndpoints
from api.v1.queries import QueryEndpoints
from api.views.posts import PostViews
from api.views.users import UserViews

TITLE: Final = "Starling"
ABOUT: Final = (
    "A social feed: commands in, events in a log, timelines out. Ids are strings, times RFC 3339 "
    "in UTC. Errors are problem documents (RFC 9457) whose `type` is stable."
)


def build_app(ports: Ports) -> FastAPI:
    """The application over these ports. The framework serves the documentation and what is not
    in the table of operations; the table is served by `api.http.dispatcher`.
    """
    metrics = ProcessMetrics(ports.projection_lags)
    shown = PostViews(ports)
    people = UserViews(ports)
    signing = AccountRegistrar(ports, ports.passwords)
    commands = CommandEndpoints(ports, signing, shown, people)
    table = route_specs.resource_routes(
        commands,
        QueryEndpoints(ports, shown, people),
        BulkEndpoint(ports, signing),
        EventsEndpoint(ports),
        ProjectionEndpoints(ports),
        HealthEndpoints(ports, metrics),
    )
    table += [*relations.relation_routes(ports, commands), *lists.top_list_routes(ports)]
    routes = RouteTable(table)
    document = openapi.openapi_document(routes.routes, TITLE, version("starling"), ABOUT)

    # Its telemetry would look at the environment at every request; `api.http.metrics` counts
    # instead.
    quiet: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
    app = FastAPI(title=TITLE, docs_url=None, redoc_url=None, telemetry=quiet)
    app.openapi = lambda: document  # type: ignore[method-assign]  # FastAPI's own way to replace it
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(Exception, _unexpected_error)
    app.add_api_route("/", _static_page("index.html"), include_in_schema=False)
    app.add_api_route("/docs", _static_page("docs.html"), include_in_schema=False)
    app.add_route("/problems/{code}", problems.explain_problem, include_in_schema=False)
    door = Dispatcher(app.build_middleware_stack(), ports, routes, shown, metrics)
    app.middleware_stack = AnyOriginCors(door)
    app.state.end_streams = door.stream_sender.cancel_all
    return app


def _static_page(name: str) -> Callable[[], Awaitable[Response]]:
    """A page that needs nothing from elsewhere: no build step, no other hosts."""
    content = (resources.files("api") / "web" / name).read_bytes()

    async def serve_page() -> Response:
        return Response(content, media_type="text/html")

    return serve_page


async def _framework_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return _problem_response(translate_framework_error(error))


async def _unexpected_error(request: Request, error: Exception) -> Response:
    """The framework raises the error again after this answer, so that it is in the output."""
    return _problem_response(INTERNAL_ERROR)


def _problem_response(refusal: ProblemResponse) -> Response:
    response = Response(refusal.body, refusal.status, media_type=PROBLEM_MEDIA_TYPE.decode())
    response.raw_headers.extend(refusal.headers)
    return response
