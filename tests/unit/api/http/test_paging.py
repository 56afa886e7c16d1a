"""Pages asked for, and the links to those beside."""

import pytest

from api.http.errors import RequestRefused
from api.http.messages import HttpRequest
from api.http.paging import link_header, page_from_query
from projections.pages import PageRequest


def call(query: str = "", path: str = "/v1/timelines/public") -> HttpRequest:
    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    scope = {
        "scheme": "http",
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"example.org:8000")],
    }
    return HttpRequest(scope, receive, ())


def test_a_page_has_twenty_entries_unless_asked_otherwise() -> None:
    assert page_from_query(call(), 40) == PageRequest(20)
    assert page_from_query(call("limit=7&max_id=9"), 40) == PageRequest(7, max_id=9)
    assert page_from_query(call("since_id=3&min_id=4"), 40) == PageRequest(20, since_id=3, min_id=4)


def test_more_than_may_be_means_as_many_as_may_be() -> None:
    assert page_from_query(call("limit=1000"), 40).limit == 40


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "limit=", "limit=1.5", "limit=%D9%A3", "max_id=x",
              "max_id=-1", "since_id=", "min_id=1e3", "min_id=99999999999999999999"],
)  # fmt: skip
def test_what_is_no_number_is_refused_by_name(query: str) -> None:
    with pytest.raises(RequestRefused, match=f"`{query.partition('=')[0]}`") as refused:
        page_from_query(call(query), 40)
    assert refused.value.status == 422


def test_a_full_page_links_to_older_and_newer_ones() -> None:
    asked = call("limit=2&max_id=9&at=x%20y")
    (header,) = link_header(asked, PageRequest(2), [8, 5])
    address = b"<http://example.org:8000/v1/timelines/public?limit=2&at=x+y&"
    value = b'%smax_id=5>; rel="next", %smin_id=8>; rel="prev"' % (address, address)
    assert header == (b"link", value)


def test_a_page_that_is_not_full_is_the_last() -> None:
    ((_, value),) = link_header(call(), PageRequest(2), [8])
    assert value == b'<http://example.org:8000/v1/timelines/public?min_id=8>; rel="prev"'


def test_an_empty_page_links_nowhere() -> None:
    assert link_header(call(), PageRequest(2), []) == []
