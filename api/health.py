"""Whether the server can do its work, for load balancers and people; and its figures."""

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from api.call import Answer, Call, json_answer
from api.errors import EXPECTED
from api.metrics import Metrics
from api.ports import Ports
from api.schemas import Behind, Health

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
        """200 while the log answers, every view is there and near its head, else 503."""
        try:
            lags = self._ports.lag()
            for lag in lags:
                self._ports.views.store(lag.projection)
            parked = dict(await self._ports.operations.dead_letters())
        except EXPECTED as error:
            return json_answer(_json(Health("not ready", detail=str(error))), 503)
        bound = self._ports.ready_within
        behind = {lag.projection: Behind(lag.behind, lag.behind <= bound) for lag in lags}
        if all(one.ready for one in behind.values()):
            if not parked:
                return json_answer(_json(Health("ready", behind)))
            some = ", ".join(f"{count} of {name}" for name, count in parked.items())
            detail = f"degraded: events could not be taken ({some}); see 'starling dlq list'"
            return json_answer(_json(Health("ready", behind, parked, detail)))
        late = ", ".join(name for name, one in behind.items() if not one.ready)
        detail = f"more than {bound} events behind: {late}; see 'starling projections status'"
        return json_answer(_json(Health("not ready", behind, parked, detail)), 503)

    async def metrics(self, call: Call) -> Answer:
        """The figures of this process."""
        content_type = (b"content-type", CONTENT_TYPE_LATEST.encode())
        parked = await self._ports.operations.dead_letters()
        return Answer(200, self._metrics.text(parked), [content_type])
