"""Pages as Mastodon's clients ask for them: cursors that may be empty, limits that are clamped."""

from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Depends, Request

from api.http.errors import RequestRefused
from api.http.paging import page_address
from api.state import CurrentState
from events.ids.snowflake import LAST_ID, parse_decimal
from projections.pages import PageRequest

CURSORS: Final = ("max_id", "since_id", "min_id")
PAGE_PARAMETERS: Final = {
    "max_id": "Entries below this id: the next page",
    "since_id": "The newest entries above this id",
    "min_id": "The entries right above this id: the previous page",
    "limit": "How many entries; a number above the most is taken for it",
}
"""What they mean. Of lists by the time of an act, the ids are those in `Link`."""


class ClientPage:
    """The page that a request wants, and what the links to the pages beside it begin with."""

    def __init__(self, wanted: PageRequest, address: str, query: str) -> None:
        """`query` is that of the request, encoded and without the cursors."""
        self.wanted = wanted
        self._address = address
        self._query = f"{query}&" if query else ""

    def link_header(self, ids: Sequence[int], scanned_to: int | None = None) -> dict[str, str]:
        """The `Link` header of a page whose entries have these ids, newest first; the first and
        the last one will do.

        Each page with entries has a next one and a previous one, and in this order: some clients
        read no further than the first. A page that ended at `scanned_to`, because entries on the
        way there are hidden, goes on from there.
        """
        older, newer = (ids[-1], ids[0]) if ids else (None, None)
        if scanned_to is not None and self.wanted.min_id is None:
            older = scanned_to
        elif scanned_to is not None:
            newer = scanned_to
        links = []
        if older is not None:
            links.append(self._link("next", "max_id", older))
        if newer is not None:
            links.append(self._link("prev", "min_id", newer))
        return {"link": ", ".join(links)} if links else {}

    def _link(self, relation: str, cursor: str, id: int) -> str:
        return f'<{self._address}?{self._query}{cursor}={id}>; rel="{relation}"'


def cursor_from(text: str | None) -> int | None:
    """The id that a cursor names; None where it is empty. Raises `RequestRefused` (422)."""
    if text is None or not text.strip():
        return None
    id = parse_decimal(text.strip())
    if id is None:
        raise RequestRefused(422, "invalid-query", f"{text[:40]!r} is no id")
    return min(id, LAST_ID)


class ClientPageQuery:
    """The dependency of routes with pages: their `ClientPage`."""

    def __init__(self, usual: int, most: int) -> None:
        self._usual = usual
        self._most = most

    async def __call__(self, request: Request, state: CurrentState) -> ClientPage:
        """The page of a request. Raises `RequestRefused` (422)."""
        query = request.query_params
        bounds = (cursor_from(query.get(name)) for name in CURSORS)
        limit = clamped_limit(query.get("limit"), self._usual, self._most)
        address = page_address(state.ports.base_url, request.scope)
        rest = urlencode([pair for pair in query.multi_items() if pair[0] not in CURSORS])
        return ClientPage(PageRequest(limit, *bounds), address, rest)


def clamped_limit(text: str | None, usual: int, most: int) -> int:
    """How many entries are wanted, as many as there may be at most."""
    wanted = parse_decimal(text.strip()) if text else None
    return min(max(wanted, 1), most) if wanted is not None else usual


USUAL_STATUSES: Final = 20
MOST_STATUSES: Final = 40

StatusesPage = Annotated[ClientPage, Depends(ClientPageQuery(USUAL_STATUSES, MOST_STATUSES))]
AccountsPage = Annotated[ClientPage, Depends(ClientPageQuery(40, 80))]
