"""Headers by which browsers and caches keep responses where they belong.

Each response has them, made once; `ReportedRequests` adds them. A response that names a policy or a
cache lifetime of its own, as pages and their files do, keeps it.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Final

Header = tuple[bytes, bytes]

_FIXED_HEADERS: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_POLICY: Final[Header] = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'",
)
_NOT_STORED: Final[Header] = (b"cache-control", b"no-store")
"""Most responses are personal; the others change all the time."""

SECURITY_HEADERS: Final[tuple[Header, ...]] = (*_FIXED_HEADERS, _POLICY, _NOT_STORED)
"""Of a response that has none of its own."""

_OWN: Final = frozenset({b"content-security-policy", b"cache-control", b"etag"})

_INLINE: Final = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def security_headers(response: Sequence[Header]) -> Sequence[Header]:
    """What a response with these headers (names in lower case) lacks."""
    own = _OWN.intersection(name for name, _ in response)
    if not own:
        return SECURITY_HEADERS
    lacking = list(_FIXED_HEADERS)
    if b"content-security-policy" not in own:
        lacking.append(_POLICY)
    if own == {b"content-security-policy"}:  # an entity tag is for caches
        lacking.append(_NOT_STORED)
    return lacking


def page_policy(html: str, *sources: str) -> dict[str, str]:
    """The headers of a page that may run the scripts and styles that stand in it, and no others.

    `sources` are more directives, such as `img-src data:`; one for `style-src` or `script-src`
    is added to.
    """
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _INLINE.findall(html):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
        hashes[kind].append(f"'sha256-{digest}'")
    directives = {
        "default-src": ["'none'"],
        "connect-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "script-src": hashes["script"],
        "style-src": hashes["style"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
    for source in sources:
        name, *values = source.split()
        directives[name] = directives.get(name, []) + values
    policy = "; ".join(
        f"{name} {' '.join(values)}" for name, values in directives.items() if values
    )
    return {"content-security-policy": policy}
