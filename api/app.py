"""The API, assembled: ports in, an ASGI application out."""

from collections.abc import Awaitable, Callable
from importlib import resources
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI, Request
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api import contract, lists, openapi, problems, relations
from api.batch import Batches
from api.commands import Commands
from api.door import Door
from api.errors import PROBLEM_TYPE, UNEXPECTED, Refusal, refusal_of_framework
from api.events import Events
from api.health import Checks
from api.metrics import Metrics
from api.operations import Operations
from api.origins import AnyOrigin
from api.people import People
from api.ports import Ports
from api.present import Posts
from api.queries import Queries
from api.routes import Routes
from api.signing import Signing

TITLE: Final = "Starling"
ABOUT: Final = (
    "A social feed: commands in, events in a log, timelines out. Ids are strings, times RFC 3339 "
    "in UTC. Errors are problem documents (RFC 9457) whose `type` is stable."
)


def build(ports: Ports) -> FastAPI:
    """The application over these ports. The framework serves the documentation and what is not
    in the table of operations; the table is served by `api.door`.
    """
    metrics = Metrics(ports.lag)
    shown = Posts(ports)
    people = People(ports)
    signing = Signing(ports, ports.passwords)
    commands = Commands(ports, signing, shown, people)
    table = contract.operations(
        commands,
        Queries(ports, shown, people),
        Batches(ports, signing),
        Events(ports),
        Operations(ports),
        Checks(ports, metrics),
    )
    table += [*relations.operations(ports, commands), *lists.operations(ports)]
    routes = Routes(table)
    document = openapi.document(routes.operations, TITLE, version("starling"), ABOUT)

    # Its telemetry would look at the environment at every request; `api.metrics` counts instead.
    quiet: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
    app = FastAPI(title=TITLE, docs_url=None, redoc_url=None, telemetry=quiet)
    app.openapi = lambda: document  # type: ignore[method-assign]  # FastAPI's own way to replace it
    app.add_exception_handler(HTTPException, _of_framework)
    app.add_exception_handler(Exception, _unexpected)
    app.add_api_route("/", _page("index.html"), include_in_schema=False)
    app.add_api_route("/docs", _page("docs.html"), include_in_schema=False)
    app.add_route("/problems/{code}", problems.explain, include_in_schema=False)
    door = Door(app.build_middleware_stack(), ports, routes, shown, metrics)
    app.middleware_stack = AnyOrigin(door)
    app.state.end_streams = door.streams.end
    return app


def _page(name: str) -> Callable[[], Awaitable[Response]]:
    """A page that needs nothing from elsewhere: no build step, no other hosts."""
    content = (resources.files("api") / "web" / name).read_bytes()

    async def page() -> Response:
        return Response(content, media_type="text/html")

    return page


async def _of_framework(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return _response(refusal_of_framework(error))


async def _unexpected(request: Request, error: Exception) -> Response:
    """The framework raises the error again after this answer, so that it is in the output."""
    return _response(UNEXPECTED)


def _response(refusal: Refusal) -> Response:
    response = Response(refusal.body, refusal.status, media_type=PROBLEM_TYPE.decode())
    response.raw_headers.extend(refusal.headers)
    return response
