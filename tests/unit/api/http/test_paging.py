"""Pages asked for, and the links to those beside."""

import httpx
import pytest

from api.http.paging import Page, page_request
from projections.pages import PageRequest
from tests.support.api_world import ApiWorld

ADDRESS = "http://example.org:8000/v1/timelines/public"


def test_a_page_holds_at_most_what_it_may() -> None:
    assert page_request(40, 7, "9", None, None) == PageRequest(7, max_id=9)
    assert page_request(40, 20, None, "3", "4") == PageRequest(20, since_id=3, min_id=4)
    assert page_request(40, 1000, None, None, None).limit == 40


@pytest.fixture(params=[True, False], ids=["fast-path", "framework"])
def stranger(request: pytest.FixtureRequest) -> httpx.AsyncClient:
    return ApiWorld(fast_path=request.param).new_client()


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "limit=", "limit=1.5", "max_id=x", "max_id=-1",
              "since_id=", "min_id=1e3", "min_id=99999999999999999999"],
)  # fmt: skip
async def test_what_is_no_number_is_refused_by_name(
    stranger: httpx.AsyncClient, query: str
) -> None:
    answer = await stranger.get(f"/v1/timelines/public?{query}")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-query")
    assert f"`{query.partition('=')[0]}`" in answer.json()["detail"]


@pytest.mark.parametrize("limit", [999_999_999, 1_000_000_000, 10**30])
async def test_any_large_limit_means_as_many_as_may_be(
    stranger: httpx.AsyncClient, limit: int
) -> None:
    assert (await stranger.get(f"/v1/timelines/public?limit={limit}")).status_code == 200


@pytest.mark.parametrize("query", ["page=2", "limt=1", "limit=1&x"])
async def test_an_unknown_parameter_is_refused(stranger: httpx.AsyncClient, query: str) -> None:
    for path in ("/v1/timelines/public", "/v1/trends", "/v1/posts/1", "/health/live"):
        answer = await stranger.get(f"{path}?{query}")
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-query")


def test_a_full_page_links_to_older_and_newer_ones() -> None:
    links = Page(PageRequest(2, max_id=9), ADDRESS).link_header([8, 5])
    older, newer = f"{ADDRESS}?limit=2&max_id=5", f"{ADDRESS}?limit=2&min_id=8"
    assert links == {"link": f'<{older}>; rel="next", <{newer}>; rel="prev"'}


def test_the_link_to_older_entries_keeps_the_lower_bound() -> None:
    links = Page(PageRequest(2, since_id=3), ADDRESS).link_header([8, 5])
    assert f'<{ADDRESS}?limit=2&since_id=3&max_id=5>; rel="next"' in links["link"]


def test_a_page_that_is_not_full_is_the_last() -> None:
    links = Page(PageRequest(20), ADDRESS).link_header([8])
    assert links == {"link": f'<{ADDRESS}?min_id=8>; rel="prev"'}


def test_an_empty_page_links_nowhere() -> None:
    assert Page(PageRequest(2), ADDRESS).link_header([]) == {}


async def test_links_begin_with_the_servers_own_address_whatever_the_host_header_says() -> None:
    world = ApiWorld()
    page = Page(PageRequest(1), world.ports.base_url + "/v1/timelines/public")
    assert page.link_header([8])["link"].startswith("<http://test/v1/")
