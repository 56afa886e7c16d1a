"""Traces for an OpenTelemetry collector: on where the standard variables name one.

`OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`) turns them on, if the packages of the extra
`otel` are installed; the SDK reads the other `OTEL_...` variables itself. Off, a request pays
nothing for them. FastAPI makes the span of a request; `traced_append` the one of its append, and a
second one at the beginning of the events' own trace (`streams.event_traces`), linked to it, which
the relay's and the projectors' spans continue.
"""

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext

from commands.handler import Append
from events.log import AppendRequest, AppendResult
from infra.settings import traces_are_wanted
from streams.event_traces import TRACER_NAME, append_context, traces_are_on

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

FLUSH_MILLISECONDS: Final = 3000

_fixed_ids: ContextVar[SpanContext | None] = ContextVar("fixed_ids", default=None)
"""The ids of the next span; None for random ones."""

_logger = logging.getLogger(__name__)


def start_tracing(kind: str) -> bool:
    """Record spans in this process and send them to the collector; whether that is asked for.

    `kind` (`api`, `relay`, ...) goes into the service's name: `starling-api`.
    """
    if not traces_are_wanted():
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        _logger.warning(
            "no traces: OTEL_EXPORTER_OTLP_ENDPOINT is set, but the packages of the extra 'otel' "
            "are not installed"
        )
        return False
    trace.set_tracer_provider(build_provider(kind, BatchSpanProcessor(OTLPSpanExporter())))
    return True


def finish_tracing() -> None:
    """Send what was recorded; blocks for seconds at most. For processes that a signal ends at once:
    others do it by themselves."""
    if traces_are_on():
        trace.get_tracer_provider().force_flush(FLUSH_MILLISECONDS)  # type: ignore[attr-defined]


def build_provider(kind: str, processor: "SpanProcessor") -> "TracerProvider":
    """A provider whose spans have random ids, or those that follow from a correlation."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class CorrelationIds(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            fixed = _fixed_ids.get()
            return super().generate_trace_id() if fixed is None else fixed.trace_id

        def generate_span_id(self) -> int:
            fixed = _fixed_ids.get()
            return super().generate_span_id() if fixed is None else fixed.span_id

    resource = Resource.create()
    name = str(resource.attributes.get(SERVICE_NAME, ""))
    service = "starling" if not name or name.startswith("unknown_service") else name
    named = resource.merge(Resource({SERVICE_NAME: f"{service}-{kind}"}))
    provider = TracerProvider(resource=named, id_generator=CorrelationIds())
    provider.add_span_processor(processor)
    return provider


def traced_append(append: Append) -> Append:
    """The same append, with its spans where this process records any."""
    if not traces_are_on():
        return append
    tracer = trace.get_tracer(TRACER_NAME)

    async def append_traced(request: AppendRequest) -> AppendResult:
        events = append_context(request.correlation)
        attributes = {"starling.correlation": str(request.correlation)}
        with tracer.start_as_current_span(
            "log append", attributes=attributes, links=[Link(events)]
        ) as span:
            result = await append(request)
        if not result.replayed and request.writes:
            token = _fixed_ids.set(events)
            try:
                link = Link(span.get_span_context())
                tracer.start_span(
                    "events appended", Context(), attributes=attributes, links=[link]
                ).end()
            finally:
                _fixed_ids.reset(token)
        return result

    return append_traced
