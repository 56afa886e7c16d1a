"""Spans of several processes, as a collector gets them."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.asgi_servers import hosted_api
from tests.support.server_processes import running_processes
from tests.support.starling_program import starling_environment
from tests.support.waiting import PATIENCE_SECONDS


class SpanCollector(ThreadingHTTPServer):
    """Takes spans over OTLP/HTTP, by the name of the service that sent them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[tuple[str, Span]] = []


class _Handler(BaseHTTPRequestHandler):
    server: SpanCollector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        request = ExportTraceServiceRequest.FromString(body)
        for group in request.resource_spans:
            names = {each.key: each.value.string_value for each in group.resource.attributes}
            for scope in group.scope_spans:
                self.server.spans += [(names["service.name"], span) for span in scope.spans]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: it would go to the test's output."""


@pytest.fixture
def collector() -> Iterator[SpanCollector]:
    server = SpanCollector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_request_leads_to_what_the_projector_did_with_its_events(
    tmp_path: Path, collector: SpanCollector
) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    async with running_processes(tmp_path) as processes:
        processes.use_environment(
            starling_environment(
                STARLING_DATA=str(tmp_path),
                OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
                OTEL_EXPORTER_OTLP_COMPRESSION="none",
            )
        )
        await processes.start_projector()
        await processes.start_api()
        async with httpx.AsyncClient(base_url=processes.url(), timeout=PATIENCE_SECONDS) as client:
            account = {"handle": "ada", "name": "A", "email": "a@b.cd", "password": "correct horse"}
            answer = await client.post("/v1/users", json=account)
            position = answer.headers["Starling-Position"]
            await client.get("/v1/users/ada", headers={"Starling-Position": position})
    # Stopped, the processes have sent what they had.
    by_name = {(service, span.name): span for service, span in collector.spans}
    append = by_name["starling-api", "log append"]
    begin = by_name["starling-api", "events appended"]
    projected = by_name["starling-projector", "project profiles"]
    by_id = {span.span_id: span for _, span in collector.spans}
    above = [append]
    while above[-1].parent_span_id:
        above.append(by_id[above[-1].parent_span_id])
    assert above[-1].name == "POST /v1/users"
    assert [link.span_id for link in append.links] == [begin.span_id]
    assert projected.trace_id == begin.trace_id
    assert projected.parent_span_id == begin.span_id


def test_a_common_server_sends_its_spans_when_it_stops(
    tmp_path: Path, collector: SpanCollector
) -> None:
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "600000",  # nothing is sent before
    }
    with hosted_api("uvicorn", tmp_path / "data", **settings) as api:
        httpx.get(
            f"{api.url}/v1/timelines/public", trust_env=False, timeout=PATIENCE_SECONDS
        ).raise_for_status()
        assert [span.name for service, span in collector.spans if service == "starling-api"] == []
        api.process.terminate()
        api.process.wait(20)
    sent = {span.name for service, span in collector.spans if service == "starling-api"}
    assert "GET /v1/timelines/public" in sent
