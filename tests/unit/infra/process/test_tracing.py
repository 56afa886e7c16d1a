import os
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from events.log import AppendRequest, AppendResult, NewEvent, StreamAppend
from events.schema import PostCreated
from infra.in_memory.event_log import MemoryLog
from infra.process.tracing import build_provider, start_tracing, traced_append
from streams.event_traces import MAX_LINKS, append_context, batch_span, correlations_in
from streams.projecting.apply_batch import decode_rows, traced_batch


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Finished spans of this process, which records them for once."""
    exporter = InMemorySpanExporter()
    provider = build_provider("test", SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def post(id: int, correlation: int) -> AppendRequest:
    event = NewEvent(id, PostCreated(post=id, author=5, text="hello"))
    return AppendRequest((StreamAppend(f"post-{id}", 0, (event,)),), 5, id, correlation)


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    [found] = [span for span in spans.get_finished_spans() if span.name == name]
    return found


def linked(span: ReadableSpan) -> set[tuple[int, int]]:
    return {(link.context.trace_id, link.context.span_id) for link in span.links}


def ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


async def test_the_projection_of_a_requests_events_is_in_the_trace_that_its_append_links_to(
    spans: InMemorySpanExporter,
) -> None:
    log = MemoryLog()
    tracer = trace.get_tracer("test")
    with tracer.start_as_current_span("request"):
        await traced_append(log.append)(post(100, 100))
    with traced_batch("posts", decode_rows(log.read_all())):
        pass
    request, append = named(spans, "request"), named(spans, "log append")
    begin, projected = named(spans, "events appended"), named(spans, "project posts")
    assert append.parent is not None
    assert append.parent.span_id == ids(request)[1]
    assert linked(append) == {ids(begin)}
    assert linked(begin) == {ids(append)}
    assert begin.parent is None
    assert projected.parent is not None
    assert (projected.parent.trace_id, projected.parent.span_id) == ids(begin)


async def test_a_batch_of_many_requests_links_to_the_appends_of_some_of_them(
    spans: InMemorySpanExporter,
) -> None:
    log = MemoryLog()
    for id in range(1, MAX_LINKS + 9):
        await log.append(post(id, id))
    lines = log.read_lines()
    assert lines is not None
    with batch_span("relay publish", correlations_in(lines.text), {}):
        pass
    span = named(spans, "relay publish")
    assert span.parent is None
    assert linked(span) == {
        (each.trace_id, each.span_id) for each in map(append_context, range(1, MAX_LINKS + 1))
    }


async def test_a_command_that_is_sent_again_begins_no_second_trace_of_its_events(
    spans: InMemorySpanExporter,
) -> None:
    async def replay(request: AppendRequest) -> AppendResult:
        return AppendResult(request.result_id, 1, replayed=True)

    await traced_append(replay)(post(100, 100))
    assert [span.name for span in spans.get_finished_spans()] == ["log append"]


def test_without_a_collector_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    log = MemoryLog()
    append = log.append
    assert not start_tracing("api")
    assert traced_append(append) is append
