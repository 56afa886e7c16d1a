"""The page that a request wants, and the `Link` header to the pages beside it (RFC 8288)."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from api.http.errors import Headers, RequestRefused
from api.http.messages import HttpRequest
from events.ids.snowflake import LAST_ID
from projections.pages import PageRequest

DEFAULT_LIMIT: Final = 20
MAX_POSTS: Final = 40
"""The most posts on a page."""
MAX_USERS: Final = 80
"""The most users on a page."""

CURSOR_NAMES: Final = ("max_id", "since_id", "min_id")


def page_from_query(request: HttpRequest, most: int) -> PageRequest:
    """The page of a request; a `limit` above `most` means `most`. Raises `RequestRefused`."""
    query = request.query
    if not query:
        return PageRequest(DEFAULT_LIMIT)
    return PageRequest(
        min(positive_int(query, "limit", DEFAULT_LIMIT), most),
        *(_cursor_id(query, name) for name in CURSOR_NAMES),
    )


def positive_int(query: dict[str, str], name: str, default: int) -> int:
    """A query parameter that is a whole number from 1. Raises `RequestRefused`."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise RequestRefused(422, "invalid-query", f"`{name}` must be a whole number from 1")
    return int(text)


def _cursor_id(query: dict[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise RequestRefused(422, "invalid-query", f"`{name}` must be an id: digits, as in `id`")
    return min(int(text), LAST_ID)


def link_header(request: HttpRequest, page: PageRequest, ids: Sequence[int]) -> Headers:
    """The `Link` header for a page whose entries have these ids, newest first.

    A full page has a next one, with older entries (perhaps none); a page with entries has a
    previous one, with newer entries (perhaps none yet).
    """
    if not ids:
        return []
    scope = request.scope
    host = (request.header(b"host") or b"localhost").decode("latin-1")
    others = [(key, value) for key, value in request.query.items() if key not in CURSOR_NAMES]
    query = urlencode(others) + "&" if others else ""
    address = f"<{scope['scheme']}://{host}{scope['raw_path'].decode('latin-1')}?{query}"
    text = f'{address}min_id={ids[0]}>; rel="prev"'
    if len(ids) >= page.limit:
        text = f'{address}max_id={ids[-1]}>; rel="next", {text}'
    return [(b"link", text.encode("latin-1"))]
