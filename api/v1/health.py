"""Whether the server can do its work, for load balancers and people; and its figures."""

import asyncio
from collections.abc import Awaitable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final, Literal, TypeVar

from fastapi import APIRouter, HTTPException, Request, Response, Security
from prometheus_client import CONTENT_TYPE_LATEST

from api.accounts.access_tokens import OPERATOR_SCOPE
from api.accounts.token_store import TokenClaims
from api.http.errors import EXPECTED_ERRORS, problems, translate_error, unauthorized
from api.http.network_address import is_loopback
from api.http.request import json_response
from api.http.route import ApiRoute
from api.http.tokens import require_scope, token_claims
from api.ports import ProjectionLag
from api.schemas import ApiModel, Count
from api.state import CurrentState
from api.webhooks.webhook_store import WebhooksUnavailable
from projections.store import StoreUnavailable
from streams.rebuild.status import count_dead_letters

T = TypeVar("T")

STUCK_AFTER_SECONDS: Final = 10.0
"""After which the projector is held to be dead or stuck, if events wait for it."""

ANSWER_SECONDS: Final = 1.5
"""After which the server is not ready, whatever its stores have still to say."""

router = APIRouter(route_class=ApiRoute, tags=["health"])


class Behind(ApiModel):
    """How many positions of the log a projection has not applied yet."""

    lag: Count
    ready: bool


class Health(ApiModel):
    """Whether the server can do its work, and how far each projection is behind the log.

    `dead_letters` counts events that projections could not apply; their views lack these alone, so
    it is a warning.
    """

    status: Literal["live", "ready", "not ready"]
    projections: dict[str, Behind] | None = None
    dead_letters: dict[str, Count] | None = None
    detail: str | None = None


_NOT_READY: Final[dict[int | str, dict[str, Any]]] = {
    503: {"model": Health, "description": "Not ready; `detail` says why"}
}


_FIGURES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/health/live", responses=problems(422))
async def check_liveness() -> Health:
    """Whether the process answers."""
    return Health(status="live")


@router.get("/health/ready", response_model=Health, responses=_NOT_READY)
async def check_readiness(state: CurrentState) -> Response:
    """Whether the views keep up: 200 while the log answers and each view is kept near its head."""
    ports = state.ports
    try:
        lags = await ports.health.projection_lags()
        for lag in lags:
            ports.views.current_store(lag.projection)
        async with asyncio.timeout(ANSWER_SECONDS):
            dead_letters = await count_dead_letters(ports.views)
            outdated = await ports.health.outdated_views()
            paused = await ports.admin.paused_projections()
    except TimeoutError:
        detail = f"the views did not answer within {ANSWER_SECONDS:g} s"
        return json_response(Health(status="not ready", detail=detail), 503)
    except EXPECTED_ERRORS as error:
        detail = str(error) or translate_error(error).detail
        return json_response(Health(status="not ready", detail=detail), 503)
    bound = ports.health.ready_within
    stuck = [lag for lag in lags if lag.projection not in outdated and _is_stuck(lag)]
    late = [lag for lag in lags if lag.events_behind > bound]
    behind = {
        lag.projection: Behind(lag=lag.events_behind, ready=lag not in late and lag not in stuck)
        for lag in lags
    }
    health = Health(status="ready", projections=behind, dead_letters=dict(dead_letters) or None)
    complaints = [
        *_write_complaints(ports.log.write_problem()),
        *_other_log_complaints(lags, ports.health.log_problem()),
        *_lag_complaints(late, bound),
        *_stuck_complaints(stuck),
    ]
    if complaints:
        health.status = "not ready"
        health.detail = f"{'; '.join(complaints)}; see 'starling projections status'"
        return json_response(health, 503)
    notes = [
        *_outdated_notes(outdated),
        *_paused_notes(paused),
        *_dead_letter_notes(dead_letters),
    ]
    health.detail = f"degraded: {'; '.join(notes)}" if notes else None
    return json_response(health)


@router.get(
    "/metrics",
    response_class=Response,
    responses=_FIGURES | problems(401, 403, 404),
)
async def render_metrics(
    state: CurrentState,
    request: Request,
    claims: Annotated[TokenClaims | None, Security(token_claims)],
) -> Response:
    """Figures for Prometheus: to this machine, and to tokens with the scope `operator`."""
    audience = state.ports.health.metrics_audience
    if audience == "off":
        raise HTTPException(404)
    local = request.client is not None and is_loopback(request.client.host)
    if audience == "local" and not local:
        if claims is None:
            message = "the figures are for this machine and for tokens with the scope 'operator'"
            raise unauthorized("token-missing", message)
        require_scope(claims, OPERATOR_SCOPE)
    dead_letters, waiting = await asyncio.gather(
        _known(count_dead_letters(state.ports.views)),
        _known(state.ports.webhooks.store.waiting_deliveries()),
    )
    text = await state.metrics.render_text(dead_letters, waiting, state.ports.clock_ms())
    return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})


async def _known(figure: Awaitable[T]) -> T | None:
    """A figure; None where its store doesn't give it now."""
    with suppress(StoreUnavailable, WebhooksUnavailable, TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            return await figure
    return None


def _is_stuck(lag: ProjectionLag) -> bool:
    """Whether events wait for a projector that gives no sign of life."""
    return lag.events_behind > 0 and lag.silent_seconds > STUCK_AFTER_SECONDS


def _write_complaints(problem: str | None) -> Iterator[str]:
    if problem is not None:
        yield f"commands can't be taken: {problem}"


def _other_log_complaints(lags: Sequence[ProjectionLag], problem: str | None) -> Iterator[str]:
    if problem is not None:
        yield problem
    beyond = [lag.projection for lag in lags if lag.beyond_head]
    if beyond:
        yield f"views of another log, or of one that lost its end, are here: {', '.join(beyond)}"


def _lag_complaints(late: Sequence[ProjectionLag], bound: int) -> Iterator[str]:
    if late:
        yield f"more than {bound} events behind: {', '.join(lag.projection for lag in late)}"


def _stuck_complaints(stuck: Sequence[ProjectionLag]) -> Iterator[str]:
    if stuck:
        most = max(lag.events_behind for lag in stuck)
        yield (
            f"{most} events wait, and the projector was not heard of "
            f"for {STUCK_AFTER_SECONDS:.0f} s"
        )


def _outdated_notes(outdated: Mapping[str, int]) -> Iterator[str]:
    if outdated:
        some = ", ".join(f"{name} as of position {at}" for name, at in outdated.items())
        yield f"older views answer until theirs are rebuilt ({some})"


def _paused_notes(paused: Collection[str]) -> Iterator[str]:
    if paused:
        some = ", ".join(sorted(paused))
        yield f"paused, and kept as they are: {some}; see 'starling projections resume'"


def _dead_letter_notes(dead_letters: Mapping[str, int]) -> Iterator[str]:
    if dead_letters:
        some = ", ".join(f"{count} of {name}" for name, count in dead_letters.items())
        yield f"events could not be applied ({some}); see 'starling dlq list'"
