import asyncio
import logging

import pytest

from api.http.request_log import RequestLog, begin_request, note_correlation, request_fields
from tests.support.manual_clock import ManualClock


def test_a_valid_id_of_the_client_is_the_id_of_the_request() -> None:
    assert begin_request(b"01J-proxy.7") == "01J-proxy.7"
    assert request_fields() == {"request_id": "01J-proxy.7"}


@pytest.mark.parametrize("given", [None, b"", b"a\nb", b"a b", b"x" * 65, "ü".encode(), b"a\n"])
def test_another_one_is_replaced_by_one_that_no_other_request_has(given: bytes | None) -> None:
    first, second = begin_request(given), begin_request(given)
    assert first != second
    assert first.encode() != given


async def test_the_correlation_of_events_stands_beside_the_id_of_their_request() -> None:
    async def answer(id: bytes, correlation: int) -> dict[str, str]:
        begin_request(id)
        await asyncio.sleep(0)
        note_correlation(correlation)
        await asyncio.sleep(0)
        return dict(request_fields())

    both = list(await asyncio.gather(answer(b"a", 1), answer(b"b", 2)))
    assert both == [
        {"request_id": "a", "correlation": "1"}, {"request_id": "b", "correlation": "2"}
    ]  # fmt: skip


def test_only_failures_are_reported_and_each_kind_once_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock(0)
    log = RequestLog(every_request=False, clock=clock.monotonic)
    log.report("GET", "/v1/posts/{id}", 404, 0.001)
    for _ in range(3):
        log.report("POST", "/v1/posts", 503, 0.0123, "the disk is full")
        clock.ms += 300
    clock.ms += 200
    log.report("POST", "/v1/posts", 503, 0.5)
    assert caplog.messages == [
        "POST /v1/posts 503 in 12.3 ms: the disk is full",
        "POST /v1/posts 503 in 500.0 ms",
    ]


def test_an_access_log_has_a_line_for_every_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = RequestLog(every_request=True)
    log.report("GET", "/v1/posts/{id}", 200, 0.001)
    log.report("GET", "/v1/posts/{id}", 200, 0.001)
    assert caplog.messages == ["GET /v1/posts/{id} 200 in 1.0 ms"] * 2
