"""Whether the server can do its work, for load balancers and people; and its figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import UNSET
from prometheus_client import CONTENT_TYPE_LATEST

from api.call import Answer, Call, json_answer
from api.errors import EXPECTED
from api.metrics import Metrics
from api.ports import Lag, Ports
from api.schemas import Behind, Health

SILENT_SECONDS: Final = 10.0
"""After which the projector is held to be dead or stuck, if events wait for it."""

_json = msgspec.json.Encoder().encode


class Checks:
    """The handlers of `/health/*` and `/metrics`."""

    def __init__(self, ports: Ports, metrics: Metrics) -> None:
        self._ports = ports
        self._metrics = metrics

    async def live(self, call: Call) -> Answer:
        """The process answers."""
        return json_answer(_json(Health("live")))

    async def ready(self, call: Call) -> Answer:
        """200 while the log answers, every view is there and kept near its head, else 503."""
        operations = self._ports.operations
        try:
            lags = self._ports.lag()
            for lag in lags:
                self._ports.views.store(lag.projection)
            parked = dict(await operations.dead_letters())
            outgrown = await operations.outgrown()
        except EXPECTED as error:
            return json_answer(_json(Health("not ready", detail=str(error))), 503)
        bound = self._ports.ready_within
        left = [one for one in lags if one.projection not in outgrown and _left(one)]
        late = [one for one in lags if one.behind > bound]
        behind = {
            lag.projection: Behind(lag.behind, lag not in late and lag not in left) for lag in lags
        }
        wrong = [*_late(late, bound), *_waiting(left)]
        if wrong:
            detail = f"{'; '.join(wrong)}; see 'starling projections status'"
            return json_answer(_json(Health("not ready", behind, parked, detail)), 503)
        less = "; ".join([*_old(outgrown), *_parked(parked)])
        detail_or_none = f"degraded: {less}" if less else UNSET
        return json_answer(_json(Health("ready", behind, parked, detail_or_none)))

    async def metrics(self, call: Call) -> Answer:
        """The figures of this process."""
        content_type = (b"content-type", CONTENT_TYPE_LATEST.encode())
        parked = await self._ports.operations.dead_letters()
        return Answer(200, self._metrics.text(parked), [content_type])


def _left(lag: Lag) -> bool:
    """Whether events wait that nobody seems to take."""
    return lag.behind > 0 and lag.silent > SILENT_SECONDS


def _late(late: Sequence[Lag], bound: int) -> Iterator[str]:
    if late:
        yield f"more than {bound} events behind: {', '.join(one.projection for one in late)}"


def _waiting(left: Sequence[Lag]) -> Iterator[str]:
    if left:
        most = max(one.behind for one in left)
        yield f"{most} events wait, and the projector was not heard of for {SILENT_SECONDS:.0f} s"


def _old(outgrown: Mapping[str, int]) -> Iterator[str]:
    if outgrown:
        some = ", ".join(f"{name} as of position {at}" for name, at in outgrown.items())
        yield f"older views answer until theirs are rebuilt ({some})"


def _parked(parked: Mapping[str, int]) -> Iterator[str]:
    if parked:
        some = ", ".join(f"{count} of {name}" for name, count in parked.items())
        yield f"events could not be taken ({some}); see 'starling dlq list'"
