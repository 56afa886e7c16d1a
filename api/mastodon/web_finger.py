"""Where an account is, by its address `bob@our.domain`: WebFinger (RFC 7033), and where that is
(RFC 6415)."""

from typing import Annotated, Any, Final, TypedDict
from xml.sax.saxutils import quoteattr

from fastapi import APIRouter, Query, Response

from api.mastodon.accounts import find_account
from api.mastodon.content import profile_url
from api.mastodon.entities import EntityResponse, Url, about, entity
from api.mastodon.instance import domain_of
from api.state import CurrentState
from commands.rules import user_not_found

router = APIRouter(prefix="/.well-known", tags=["mastodon"])

_FINGER_PATH: Final = "/.well-known/webfinger"
_HOST_META: Final = """\
<?xml version="1.0" encoding="UTF-8"?>
<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">
  <Link rel="lrdd" template={template}/>
</XRD>
"""
_HOST_META_TYPE: Final = "application/xrd+xml"
_FINGER_TYPE: Final = "application/jrd+json"
_PROFILE_PAGE: Final = "http://webfinger.net/rel/profile-page"


class WebLinkEntity(TypedDict):
    """Where something of an account is."""

    rel: Annotated[Url, about("What it is")]
    type: Annotated[str, about("A media type")]
    href: Url


class WebFingerEntity(TypedDict):
    """Where an account is (RFC 7033)."""

    subject: Annotated[str, about("`acct:bob@our.domain`")]
    aliases: list[Url]
    links: list[WebLinkEntity]


def _content(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {media_type: {}}}}


@router.get("/host-meta", response_class=Response, responses=_content(_HOST_META_TYPE))
async def host_meta(state: CurrentState) -> Response:
    """Where WebFinger is."""
    template = quoteattr(f"{state.ports.base_url}{_FINGER_PATH}?resource={{uri}}")
    return Response(_HOST_META.format(template=template), media_type=_HOST_META_TYPE)


@router.get("/webfinger", response_class=Response, responses=_content(_FINGER_TYPE))
async def web_finger(
    state: CurrentState,
    resource: Annotated[
        str, Query(max_length=2000, description="`acct:bob@our.domain`, or a page")
    ],
) -> EntityResponse[WebFingerEntity]:
    """The account of an address `acct:bob@our.domain`, or of its page."""
    base_url = state.ports.base_url
    scheme, _, address = resource.partition(":")
    if scheme.lower() != "acct":
        address = resource.removeprefix(profile_url(base_url, ""))
        if address == resource:
            raise user_not_found(0)
    row = await find_account(state, address)
    url = profile_url(base_url, row.handle)
    found: WebFingerEntity = {
        "subject": f"acct:{row.handle}@{domain_of(base_url)}",
        "aliases": [url],
        "links": [{"rel": _PROFILE_PAGE, "type": "text/html", "href": url}],
    }
    response = entity(found)
    response.headers["content-type"] = _FINGER_TYPE
    return response
