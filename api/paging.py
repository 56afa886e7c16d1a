"""Pages of a request, and the `Link` header that leads to the pages beside (RFC 8288)."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from api.call import Call
from api.errors import Headers, Refused
from events.snowflake import LAST_ID
from projections.pages import Page

DEFAULT: Final = 20
POSTS: Final = 40
"""The most posts on a page."""
USERS: Final = 80
"""The most users on a page."""

CURSORS: Final = ("max_id", "since_id", "min_id")


def page_of(call: Call, most: int) -> Page:
    """The page that a request asks for; a `limit` above `most` means `most`. Raises `Refused`."""
    query = call.query
    if not query:
        return Page(DEFAULT)
    return Page(
        min(positive(query, "limit", DEFAULT), most),
        *(_cursor(query, name) for name in CURSORS),
    )


def positive(query: dict[str, str], name: str, default: int) -> int:
    """A query parameter that is a whole number from 1. Raises `Refused`."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise Refused(422, "invalid-query", f"`{name}` must be a whole number from 1")
    return int(text)


def _cursor(query: dict[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Refused(422, "invalid-query", f"`{name}` must be an id: digits, as in `id`")
    return min(int(text), LAST_ID)


def links(call: Call, page: Page, ids: Sequence[int]) -> Headers:
    """The `Link` header for a page whose entries have these ids, newest first.

    A full page has a next one, with older entries (perhaps an empty one); a page that holds
    anything has a previous one, with what is newer or will be.
    """
    if not ids:
        return []
    scope = call.scope
    host = (call.header(b"host") or b"localhost").decode("latin-1")
    kept = [(key, value) for key, value in call.query.items() if key not in CURSORS]
    query = urlencode(kept) + "&" if kept else ""
    address = f"<{scope['scheme']}://{host}{scope['raw_path'].decode('latin-1')}?{query}"
    text = f'{address}min_id={ids[0]}>; rel="prev"'
    if len(ids) >= page.limit:
        text = f'{address}max_id={ids[-1]}>; rel="next", {text}'
    return [(b"link", text.encode("latin-1"))]
