"""Whether the server can do its work, for load balancers and people; and its figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import UNSET
from prometheus_client import CONTENT_TYPE_LATEST

from api.http.errors import EXPECTED_ERRORS
from api.http.messages import HttpRequest, HttpResponse, json_response
from api.http.metrics import RequestMetrics
from api.http.routing import RouteSpec
from api.ports import Ports, ProjectionLag
from api.schemas import Behind, Health, encode_json
from streams.rebuild.status import count_dead_letters

STUCK_AFTER_SECONDS: Final = 10.0
"""After which the projector is held to be dead or stuck, if events wait for it."""


class HealthResource:
    """The handlers of `/health/*` and `/metrics`."""

    def __init__(self, ports: Ports, metrics: RequestMetrics) -> None:
        self._ports = ports
        self._metrics = metrics

    def routes(self) -> list[RouteSpec]:
        return [
            RouteSpec(
                "GET", "/health/live", self.check_liveness, "Whether the process answers", Health
            ),
            RouteSpec(
                "GET", "/health/ready", self.check_readiness, "Whether the views keep up", Health,
                problem_statuses=(503,),
            ),
            RouteSpec(
                "GET", "/metrics", self.render_metrics, "Figures for Prometheus", None,
                media_type="text/plain",
            ),
        ]  # fmt: skip

    async def check_liveness(self, request: HttpRequest) -> HttpResponse:
        return json_response(encode_json(Health("live")))

    async def check_readiness(self, request: HttpRequest) -> HttpResponse:
        """200 while the log answers and each view exists and is kept near its head, else 503."""
        try:
            lags = self._ports.projection_lags()
            for lag in lags:
                self._ports.views.current_store(lag.projection)
            dead_letters = await count_dead_letters(self._ports.views)
            outdated = await self._ports.outdated_views()
        except EXPECTED_ERRORS as error:
            return json_response(encode_json(Health("not ready", detail=str(error))), 503)
        bound = self._ports.ready_within
        stuck = [lag for lag in lags if lag.projection not in outdated and _is_stuck(lag)]
        late = [lag for lag in lags if lag.positions_behind > bound]
        behind = {
            lag.projection: Behind(lag.positions_behind, lag not in late and lag not in stuck)
            for lag in lags
        }
        complaints = [*_lag_complaints(late, bound), *_stuck_complaints(stuck)]
        if complaints:
            detail = f"{'; '.join(complaints)}; see 'starling projections status'"
            health = Health("not ready", behind, dead_letters, detail)
            return json_response(encode_json(health), 503)
        notes = "; ".join([*_outdated_notes(outdated), *_dead_letter_notes(dead_letters)])
        degraded = f"degraded: {notes}" if notes else UNSET
        return json_response(encode_json(Health("ready", behind, dead_letters, degraded)))

    async def render_metrics(self, request: HttpRequest) -> HttpResponse:
        content_type = (b"content-type", CONTENT_TYPE_LATEST.encode())
        text = await self._metrics.render_text(await count_dead_letters(self._ports.views))
        return HttpResponse(200, text, [content_type])


def _is_stuck(lag: ProjectionLag) -> bool:
    """Whether events wait for a projector that gives no sign of life."""
    return lag.positions_behind > 0 and lag.silent_seconds > STUCK_AFTER_SECONDS


def _lag_complaints(late: Sequence[ProjectionLag], bound: int) -> Iterator[str]:
    if late:
        yield f"more than {bound} events behind: {', '.join(lag.projection for lag in late)}"


def _stuck_complaints(stuck: Sequence[ProjectionLag]) -> Iterator[str]:
    if stuck:
        most = max(lag.positions_behind for lag in stuck)
        yield (
            f"{most} events wait, and the projector was not heard of "
            f"for {STUCK_AFTER_SECONDS:.0f} s"
        )


def _outdated_notes(outdated: Mapping[str, int]) -> Iterator[str]:
    if outdated:
        some = ", ".join(f"{name} as of position {at}" for name, at in outdated.items())
        yield f"older views answer until theirs are rebuilt ({some})"


def _dead_letter_notes(dead_letters: Mapping[str, int]) -> Iterator[str]:
    if dead_letters:
        some = ", ".join(f"{count} of {name}" for name, count in dead_letters.items())
        yield f"events could not be applied ({some}); see 'starling dlq list'"
