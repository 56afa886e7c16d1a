"""The addresses that apps are sent back to, and what the consent page's policy says of one."""

import re
from typing import Final
from urllib.parse import urlsplit

from api.http.errors import RequestRefused
from api.oauth.grants import OUT_OF_BAND

MAX_ADDRESSES: Final = 10
MAX_LENGTH: Final = 2000
_ADDRESS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):[\x21-\x7e]+")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_RUNS_CODE: Final = frozenset(
    {"javascript", "data", "vbscript", "blob", "file", "about", "view-source"}
)


def checked_addresses(text: str) -> tuple[str, ...]:
    """The addresses in a text, separated by white space. Raises `RequestRefused` (422)."""
    addresses = tuple(dict.fromkeys(text.split()))
    if not addresses or len(addresses) > MAX_ADDRESSES or not all(map(_is_fit, addresses)):
        message = "Validation failed: Redirect URI must be an absolute URI without a fragment."
        raise RequestRefused(422, "invalid-body", message)
    return addresses


def _is_fit(address: str) -> bool:
    found = _ADDRESS.fullmatch(address)
    if found is None or len(address) > MAX_LENGTH or found[1].lower() in _RUNS_CODE:
        return False
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if found[1].lower() in ("http", "https") and not (parts.hostname and "@" not in parts.netloc):
        return False
    return "#" not in address


def form_action(address: str) -> str:
    """What `form-action` has to name, so that Chromium follows the redirect after the form."""
    if address == OUT_OF_BAND:
        return "form-action"
    parts = urlsplit(address)
    if parts.scheme in ("http", "https") and _HOST.fullmatch(parts.netloc):
        return f"form-action {parts.scheme}://{parts.netloc}"
    return f"form-action {parts.scheme}:"  # an IPv6 host has no form there


def place_of(address: str) -> str:
    """Where an address leads, in words for people."""
    parts = urlsplit(address)
    return parts.netloc if parts.scheme in ("http", "https") else f"{parts.scheme}:"
