"""Traces across the log: how what is done with events is tied to the request that made them.

Nothing of a trace is stored with events, and a feed record holds events of many requests. But every
event carries its `correlation`, and the trace and span id of its append follow from that: so a
process that reads events knows which span to link to. A batch of one request's events is a part of
their trace; a batch of several links to theirs, as OpenTelemetry has it for batches of messages.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, TraceFlags

TRACER_NAME: Final = "starling"

MAX_LINKS: Final = 64
"""Of one span, to the appends of its events."""

_CORRELATION: Final = re.compile(rb'"correlation":"(\d+)"')


def traces_are_on() -> bool:
    """Whether this process records spans: `infra.process.tracing` has given it a provider."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def append_context(correlation: int) -> SpanContext:
    """The span that stands for the append of a request's events."""
    digest = blake2b(correlation.to_bytes(8, "big"), digest_size=24, person=b"starling").digest()
    return SpanContext(
        trace_id=int.from_bytes(digest[:16], "big"),
        span_id=int.from_bytes(digest[16:], "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def correlations_in(lines: bytes) -> list[int]:
    """The correlations of some stored lines, each once, in their order; at most `MAX_LINKS`."""
    found = dict.fromkeys(int(match[1]) for match in _CORRELATION.finditer(lines))
    return list(islice(found, MAX_LINKS))


@contextmanager
def batch_span(
    name: str, correlations: Iterable[int], attributes: Mapping[str, str | int]
) -> Iterator[None]:
    """A span around what is done with the events of some requests. For `traces_are_on`."""
    appends = [append_context(each) for each in islice(dict.fromkeys(correlations), MAX_LINKS)]
    parent = trace.set_span_in_context(NonRecordingSpan(appends[0])) if len(appends) == 1 else None
    with trace.get_tracer(TRACER_NAME).start_as_current_span(
        name, parent, links=[Link(each) for each in appends], attributes=attributes
    ):
        yield
