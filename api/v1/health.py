"""Whether the server can do its work, for load balancers and people; and its figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import UNSET
from prometheus_client import CONTENT_TYPE_LATEST

from api.http.errors import EXPECTED_ERRORS
from api.http.metrics import ProcessMetrics
from api.http.request import HttpRequest, HttpResponse, json_response
from api.ports import Ports, ProjectionLag
from api.schemas import Behind, Health

STUCK_AFTER_SECONDS: Final = 10.0
"""After which the projector is held to be dead or stuck, if events wait for it."""

_encode_json = msgspec.json.Encoder().encode


class HealthEndpoints:
    """The handlers of `/health/*` and `/metrics`."""

    def __init__(self, ports: Ports, metrics: ProcessMetrics) -> None:
        self._ports = ports
        self._metrics = metrics

    async def check_liveness(self, call: HttpRequest) -> HttpResponse:
        """The process answers."""
        return json_response(_encode_json(Health("live")))

    async def check_readiness(self, call: HttpRequest) -> HttpResponse:
        """200 while the log answers, every view is there and kept near its head, else 503."""
        operations = self._ports.admin
        try:
            lags = self._ports.projection_lags()
            for lag in lags:
                self._ports.views.current_store(lag.projection)
            parked = dict(await operations.dead_letters())
            outdated = await operations.outdated_views()
        except EXPECTED_ERRORS as error:
            return json_response(_encode_json(Health("not ready", detail=str(error))), 503)
        bound = self._ports.ready_within
        left = [one for one in lags if one.projection not in outdated and _is_stuck(one)]
        late = [one for one in lags if one.positions_behind > bound]
        behind = {
            lag.projection: Behind(lag.positions_behind, lag not in late and lag not in left)
            for lag in lags
        }
        wrong = [*_lag_complaints(late, bound), *_stuck_complaints(left)]
        if wrong:
            detail = f"{'; '.join(wrong)}; see 'starling projections status'"
            return json_response(_encode_json(Health("not ready", behind, parked, detail)), 503)
        less = "; ".join([*_outdated_notes(outdated), *_dead_letter_notes(parked)])
        detail_or_none = f"degraded: {less}" if less else UNSET
        return json_response(_encode_json(Health("ready", behind, parked, detail_or_none)))

    async def render_metrics(self, call: HttpRequest) -> HttpResponse:
        """The figures of this process."""
        content_type = (b"content-type", CONTENT_TYPE_LATEST.encode())
        parked = await self._ports.admin.dead_letters()
        return HttpResponse(200, self._metrics.render_text(parked), [content_type])


def _is_stuck(lag: ProjectionLag) -> bool:
    """Whether events wait that nobody seems to take."""
    return lag.positions_behind > 0 and lag.silent_seconds > STUCK_AFTER_SECONDS


def _lag_complaints(late: Sequence[ProjectionLag], bound: int) -> Iterator[str]:
    if late:
        yield f"more than {bound} events behind: {', '.join(one.projection for one in late)}"


def _stuck_complaints(left: Sequence[ProjectionLag]) -> Iterator[str]:
    if left:
        most = max(one.positions_behind for one in left)
        yield (
            f"{most} events wait, and the projector was not heard of "
            f"for {STUCK_AFTER_SECONDS:.0f} s"
        )


def _outdated_notes(outdated: Mapping[str, int]) -> Iterator[str]:
    if outdated:
        some = ", ".join(f"{name} as of position {at}" for name, at in outdated.items())
        yield f"older views answer until theirs are rebuilt ({some})"


def _dead_letter_notes(parked: Mapping[str, int]) -> Iterator[str]:
    if parked:
        some = ", ".join(f"{count} of {name}" for name, count in parked.items())
        yield f"events could not be taken ({some}); see 'starling dlq list'"
