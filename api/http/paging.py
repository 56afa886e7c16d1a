"""The page that a request wants, and the `Link` header to the pages beside it (RFC 8288)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Depends, Query, Request
from pydantic import StringConstraints

from api.http.errors import problems
from api.state import CurrentState
from events.ids.snowflake import LAST_ID
from projections.pages import PageRequest

DEFAULT_LIMIT: Final = 20
MAX_POSTS: Final = 40
"""The most posts on a page."""
MAX_USERS: Final = 80
"""The most users on a page."""

_PAGING_PARAMETERS: Final = frozenset({"limit", "max_id", "since_id", "min_id"})

LimitQuery = Annotated[int, Query(ge=1, description="how many, up to a bound")]
_Cursor = Annotated[str, StringConstraints(pattern="^[0-9]{1,19}$")] | None


class Page:
    """The page that a request wants, the address that it was wanted from (without a query), and
    what else the query says."""

    def __init__(
        self, request: PageRequest, address: str, criteria: Mapping[str, str] | None = None
    ) -> None:
        self.request = request
        self._address = address
        self._criteria = criteria or {}

    def link_header(self, ids: Sequence[int], scanned_to: int | None = None) -> dict[str, str]:
        """The `Link` header for a page whose entries have these ids, newest first.

        A full page has a next one, with older entries (perhaps none); a page with entries has a
        previous one, with newer entries (perhaps none yet). A page that ended at `scanned_to`,
        because too many entries on the way there are hidden, goes on from there.
        """
        limit, _, since_id, min_id = self.request
        older = ids[-1] if len(ids) >= limit else None
        newer = ids[0] if ids else None
        if scanned_to is not None and min_id is None:
            older = scanned_to
        elif scanned_to is not None:
            newer = scanned_to
        query = {} if limit == DEFAULT_LIMIT else {"limit": limit}
        links: list[str] = []
        if older is not None:
            bound = {} if since_id is None else {"since_id": since_id}
            links.append(self._link("next", query | bound | {"max_id": older}))
        if newer is not None:
            links.append(self._link("prev", query | {"min_id": newer}))
        return {"link": ", ".join(links)} if links else {}

    def _link(self, relation: str, numbers: Mapping[str, int]) -> str:
        pairs = [f"{name}={number}" for name, number in numbers.items()]
        if self._criteria:
            pairs.insert(0, urlencode(self._criteria))
        return f'<{self._address}?{"&".join(pairs)}>; rel="{relation}"'


class PageQuery:
    """The dependency of routes with pages of at most `most` entries: their `Page`."""

    def __init__(self, most: int) -> None:
        self._most = most

    async def __call__(
        self,
        request: Request,
        state: CurrentState,
        limit: LimitQuery = DEFAULT_LIMIT,
        max_id: Annotated[_Cursor, Query(description="older than this")] = None,
        since_id: Annotated[
            _Cursor, Query(description="newer than this, the newest of them")
        ] = None,
        min_id: Annotated[_Cursor, Query(description="newer than this, the oldest of them")] = None,
    ) -> Page:
        """The page of a request; a `limit` above the most means the most."""
        wanted = page_request(self._most, limit, max_id, since_id, min_id)
        criteria = {k: v for k, v in request.query_params.items() if k not in _PAGING_PARAMETERS}
        return Page(wanted, page_address(state.ports.base_url, request.scope), criteria)


def page_request(
    most: int, limit: int, max_id: str | None, since_id: str | None, min_id: str | None
) -> PageRequest:
    """The bounds of a page; ids beyond the last that there can be mean that one."""
    bounds = (None if id is None else min(int(id), LAST_ID) for id in (max_id, since_id, min_id))
    return PageRequest(min(limit, most), *bounds)


def page_address(base_url: str, scope: Any) -> str:
    """The absolute address of a request. The `Host` header plays no part: a client chooses it."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return base_url + path.decode("latin-1")


PostsPage = Annotated[Page, Depends(PageQuery(MAX_POSTS))]
UsersPage = Annotated[Page, Depends(PageQuery(MAX_USERS))]

PAGE_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": {"Link": {"schema": {"type": "string"}, "description": "RFC 8288"}}},
    **problems(401, 422, 503),
}
"""The `responses` of a route with pages."""
