import timeit

from api.http.metrics import RequestMetrics
from api.ports import ProjectionLag
from api.webhooks.webhook_store import WaitingDeliveries


async def no_lags() -> list[ProjectionLag]:
    return []


async def test_requests_are_counted_by_method_route_and_status() -> None:
    metrics = RequestMetrics(no_lags)
    for status in (200, 200, 404):
        metrics.observe("GET", "/v1/posts/{id}", status, 0.003)
    text = (await metrics.render_text({}, None, 0)).decode()
    assert 'starling_requests_total{method="GET",path="/v1/posts/{id}",status="200"} 2.0' in text
    assert 'starling_requests_total{method="GET",path="/v1/posts/{id}",status="404"} 1.0' in text
    seconds = 'starling_request_seconds_bucket{le="%s",method="GET",path="/v1/posts/{id}"} %s'
    assert seconds % ("0.0025", "0.0") in text
    assert seconds % ("0.005", "3.0") in text


async def test_lags_are_of_the_moment_and_what_all_processes_counted_comes_with_them() -> None:
    lags = [ProjectionLag("posts", 5, 9, partitions={0: 9, 1: 5})]

    async def lags_of() -> list[ProjectionLag]:
        return lags

    metrics = RequestMetrics(lags_of, lambda: b"# from all\n")
    text = (await metrics.render_text({"posts": 2}, WaitingDeliveries(3, 5_000), 6_500)).decode()
    assert text.startswith("# from all\n")
    assert 'starling_projection_lag{projection="posts"} 4.0' in text
    assert 'starling_dead_letters{projection="posts"} 2.0' in text
    assert 'starling_partition_lag{partition="1",projection="posts"} 4.0' in text
    assert "starling_webhook_deliveries_waiting 3.0" in text
    assert "starling_webhook_lag_seconds 1.5" in text


def test_counting_a_request_takes_microseconds() -> None:
    metrics = RequestMetrics(no_lags)
    metrics.observe("GET", "/v1/home", 200, 0.001)
    count = 2000
    seconds = min(
        timeit.repeat(
            lambda: metrics.observe("GET", "/v1/home", 200, 0.001), number=count, repeat=5
        )
    )
    assert seconds / count < 50e-6
