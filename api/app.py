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
from api.http.dispatcher import AnyOriginCors, Dispatcher, RouteTable
from api.http.errors import (
    INTERNAL_ERROR,
    PROBLEM_MEDIA_TYPE,
    ProblemResponse,
    translate_framework_error,
)
from api.http.metrics import RequestMetrics
from api.ports import Ports
from api.v1.accounts import AccountsResource
from api.v1.admin import ProjectionsResource
from api.v1.bulk import BulkResource
from api.v1.events import EventsResource
from api.v1.health import HealthResource
from api.v1.lists import ListsResource
from api.v1.posts import PostsResource
from api.v1.relations import RelationsResource
from api.v1.timelines import TimelinesResource
from api.views.posts import PostViews
from api.views.users import UserViews

TITLE: Final = "Starling"
ABOUT: Final = (
    "A social feed: commands in, events in a log, timelines out. Ids are strings, times RFC 3339 "
    "in UTC. Errors are problem documents (RFC 9457) whose `type` is stable."
)


def build_app(ports: Ports) -> FastAPI:
    """The application over these ports. The framework serves the documentation and what has no
    `RouteSpec`; `api.http.dispatcher` serves the rest.
    """
    metrics = RequestMetrics(ports.projection_lags, ports.render_shared_metrics)
    post_views, user_views = PostViews(ports), UserViews(ports)
    registrar = AccountRegistrar(ports, ports.passwords)
    all_resources = (
        AccountsResource(ports, registrar, post_views, user_views),
        PostsResource(ports, post_views, user_views),
        TimelinesResource(ports, post_views, user_views),
        RelationsResource(ports, post_views, user_views),
        ListsResource(ports),
        ProjectionsResource(ports),
        BulkResource(ports, registrar),
        EventsResource(ports),
        HealthResource(ports, metrics),
    )
    table = RouteTable([route for resource in all_resources for route in resource.routes()])
    document = openapi.openapi_document(table.routes, TITLE, version("starling-feed"), ABOUT)

    # Its telemetry would read the environment at every request; `api.http.metrics` counts instead.
    quiet: TelemetryConfig = {"tracing": ports.traces, "metrics": False, "logs": False}
    app = FastAPI(title=TITLE, docs_url=None, redoc_url=None, telemetry=quiet)
    app.openapi = lambda: document  # type: ignore[method-assign]  # FastAPI's own way to replace it
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(Exception, _unexpected_error)
    app.add_api_route("/", _static_page("index.html"), include_in_schema=False)
    app.add_api_route("/docs", _static_page("docs.html"), include_in_schema=False)
    app.add_route("/problems/{code}", problems.explain_problem, include_in_schema=False)
    dispatcher = Dispatcher(app.build_middleware_stack(), ports, table, post_views, metrics)
    app.middleware_stack = AnyOriginCors(dispatcher)
    app.state.end_streams = dispatcher.stream_sender.cancel_all
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
    # The framework raises the error again after this response, so that the server logs it.
    return _problem_response(INTERNAL_ERROR)


def _problem_response(problem: ProblemResponse) -> Response:
    response = Response(problem.body, problem.status, media_type=PROBLEM_MEDIA_TYPE.decode())
    response.raw_headers.extend(problem.headers)
    return response
