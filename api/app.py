"""The API, assembled: ports in, a FastAPI application out."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from importlib import resources
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig
from starlette.middleware import Middleware

from api.accounts.recovery import LINK_PAGE
from api.http import problems
from api.http.errors import add_error_handlers
from api.http.fast_path import FastPath
from api.http.limited_requests import LimitedRequests
from api.http.middleware import (
    AnyOriginCors,
    BodyLimit,
    HeadRequests,
    ReportedRequests,
)
from api.http.openapi import describe_api, operation_name
from api.http.query_tokens import QueryTokenApp
from api.http.route import include_routes
from api.http.security_headers import page_policy
from api.http.uploads import FORM_BYTES
from api.mastodon import (
    accounts as mastodon_accounts,
)
from api.mastodon import (
    apps as mastodon_apps,
)
from api.mastodon import (
    discoveries,
    empty_lists,
    filter_phrases,
    grouped_notifications,
    instance,
    lists,
    markers,
    nodeinfo,
    pictures,
    public_pages,
    relationships,
    sign_up,
    status_marks,
    statuses,
    streaming,
    web_finger,
)
from api.mastodon import (
    filters as mastodon_filters,
)
from api.mastodon import (
    media as mastodon_media,
)
from api.mastodon import (
    notifications as mastodon_notifications,
)
from api.mastodon import (
    personal_lists as mastodon_personal_lists,
)
from api.mastodon import (
    search as mastodon_search,
)
from api.mastodon import (
    timelines as mastodon_timelines,
)
from api.mastodon.client_addresses import ClientAddresses
from api.mastodon.openapi import DOCUMENT_PATH, client_document, is_client_address
from api.oauth import authorization, token_routes
from api.oauth.unused_apps import UnusedApps
from api.ports import Ports
from api.schemas import encode_json
from api.state import ApiState
from api.v1 import (
    accounts,
    admin,
    analytics,
    apps,
    archive,
    bulk,
    click_analytics,
    clicks,
    events,
    filters,
    health,
    media,
    moderation,
    notes,
    notifications,
    personal_lists,
    posts,
    recommendations,
    recovery,
    relations,
    search,
    sessions,
    stream,
    timelines,
    trends,
    webhooks,
)
from api.webhooks.dispatcher import WebhookDispatcher

ABOUT: Final = (
    "A social feed: commands in, events in a log, timelines out. Ids are strings, times RFC 3339 "
    "in UTC. Errors are problem documents (RFC 9457) whose `type` is stable."
)

BODY_LIMIT: Final = 1 << 20
"""Bytes of an ordinary body."""

IMAGE_UPLOADS: Final = ("/v1/media", "/api/v1/media", "/api/v2/media")
"""Where the body is an image."""

RESOURCES: Final = (
    sessions, recovery, apps, archive, personal_lists, notes, moderation, accounts, posts, search,
    media, timelines, relations, notifications, filters, webhooks, trends, recommendations, clicks,
    analytics, click_analytics, admin, bulk, events, stream, health,
)  # fmt: skip

MASTODON_FACE: Final = (
    authorization, token_routes, mastodon_apps, instance, sign_up, relationships, mastodon_search,
    mastodon_accounts, statuses, status_marks, mastodon_timelines, grouped_notifications,
    mastodon_notifications, markers, mastodon_personal_lists, mastodon_media, lists,
    mastodon_filters, filter_phrases, discoveries, empty_lists, pictures, streaming,
    nodeinfo, web_finger, public_pages,
)  # fmt: skip
"""Their addresses with fixed segments come before those with ids."""

OpenPorts = Callable[[], AbstractAsyncContextManager[Ports]]


def build_app(
    open_ports: OpenPorts,
    *,
    fast_path: bool = True,
    traces: bool = False,
    media_bytes: int = 5 << 20,
) -> FastAPI:
    """The application; its lifespan opens the ports. Without `fast_path` the framework answers
    every request; with `traces` it makes OpenTelemetry's spans of them. Images of more than
    `media_bytes` are refused before they are read.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_ports() as ports:
            app.state.api = state = ApiState(ports)
            async with (
                aclosing(state.recovery),
                WebhookDispatcher(state).dispatching(),
                UnusedApps(ports.apps, ports.clock_ms).sweeping(),
            ):
                yield

    # Its own metrics and logs would read the environment at every request; ours are `api.http`'s.
    telemetry: TelemetryConfig = {"tracing": traces, "metrics": False, "logs": False}
    app = QueryTokenApp(
        title="Starling",
        version=version("starling-feed"),
        description=ABOUT,
        lifespan=lifespan,
        middleware=_middleware(fast_path, traces, media_bytes),
        telemetry=telemetry,
        redirect_slashes=False,
        docs_url=None,  # below, without other hosts
        redoc_url=None,
        generate_unique_id_function=operation_name,
    )
    add_error_handlers(app)
    for resource in (*RESOURCES, *MASTODON_FACE, problems):
        include_routes(app, resource.router)
    describe_api(app, is_client_address)
    _add_pages(app)
    return app


def _middleware(fast_path: bool, traces: bool, media_bytes: int) -> list[Middleware]:
    """From the outermost to the innermost."""
    body_limits = {
        "/v1/commands": bulk.BATCH_BYTES_LIMIT,
        **dict.fromkeys(IMAGE_UPLOADS, media_bytes + FORM_BYTES),
        "/api/v1/accounts/update_credentials": 2 * media_bytes + FORM_BYTES,
    }
    return [
        Middleware(ReportedRequests),
        Middleware(HeadRequests),
        Middleware(ClientAddresses),
        Middleware(AnyOriginCors),
        Middleware(LimitedRequests),
        *([Middleware(FastPath, traces)] if fast_path else []),
        Middleware(BodyLimit, BODY_LIMIT, body_limits),
    ]


def _add_pages(app: FastAPI) -> None:
    """The page at `/`, and the documentation at `/docs`; both need nothing from elsewhere."""
    index = (resources.files("api") / "web" / "index.html").read_text(encoding="utf-8")
    index_headers = page_policy(index)
    assets = "/docs/assets"
    app.mount(assets, StaticFiles(packages=[("fastapi_swagger", "resources")]), name="docs_assets")

    @app.get("/", include_in_schema=False)
    async def show_page() -> Response:
        return Response(index, headers=index_headers, media_type="text/html")

    links = (resources.files("api") / "web" / "account.html").read_text(encoding="utf-8")
    links_headers = page_policy(links)

    @app.get(LINK_PAGE, include_in_schema=False)
    async def show_link_page() -> Response:
        return Response(links, headers=links_headers, media_type="text/html")

    describe_clients = client_document(app)

    @app.get(DOCUMENT_PATH, include_in_schema=False)
    async def show_client_document() -> Response:
        return Response(encode_json(describe_clients()), media_type="application/json")

    @app.get("/docs/mastodon", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    async def show_docs(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        of_clients = request.url.path.endswith("/mastodon")
        page = get_swagger_ui_html(
            openapi_url=f"{root}{DOCUMENT_PATH if of_clients else app.openapi_url}",
            title=f"{app.title} API",
            swagger_js_url=f"{root}{assets}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{assets}/swagger-ui.css",
            swagger_favicon_url=f"{root}{assets}/favicon-32x32.png",
        )
        # Swagger UI writes styles into its elements.
        own = ("script-src 'self'", "style-src 'self' 'unsafe-inline'")
        page.headers.update(page_policy(bytes(page.body).decode(), *own))
        return page
