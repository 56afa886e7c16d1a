"""What a server says of itself: `instance` in both versions, and nodeinfo."""

from importlib.metadata import metadata, version
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Response

from api.mastodon.client_request import entity
from api.mastodon.pictures import HEADER_PATH
from api.media.media_library import MAX_ALT_LENGTH
from api.media.media_store import MAX_PIXELS
from api.ports import Ports
from api.state import CurrentState
from commands.pin import MAX_PINS
from commands.post import MAX_MEDIA
from commands.text import LINK_LENGTH, MAX_TEXT_LENGTH
from commands.user import MAX_BIO_LENGTH, MAX_FIELD_LENGTH, MAX_FIELDS, MAX_NAME_LENGTH

PROGRAM_VERSION: Final = version("starling-feed")
MASTODON_VERSION: Final = f"4.3.0 (compatible; Starling {PROGRAM_VERSION})"
"""The version of Mastodon whose client API is here: clients leave out what is newer."""
API_VERSIONS: Final = {"mastodon": 2, "starling": 1}

IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_TITLE: Final = "Starling"
_ABOUT: Final = "A social feed."
_SOURCE: Final = next(
    (
        given.partition(", ")[2]
        for given in metadata("starling-feed").get_all("Project-URL") or ()
        if given.lower().startswith("source,")
    ),
    "",
)
"""Where the program's source is, if its distribution says so."""

router = APIRouter(tags=["mastodon"])


def domain_of(base_url: str) -> str:
    """The host of the server, with its port where it has an unusual one."""
    return urlsplit(base_url).netloc


def streaming_url(base_url: str) -> str:
    """Where the streams are: scheme and host, without a path."""
    scheme = "wss" if base_url.startswith("https:") else "ws"
    return f"{scheme}://{domain_of(base_url)}"


def _configuration(ports: Ports) -> dict[str, Any]:
    return {
        "accounts": {
            "max_featured_tags": 0,
            "max_pinned_statuses": MAX_PINS,
            "max_display_name_length": MAX_NAME_LENGTH,
            "max_note_length": MAX_BIO_LENGTH,
            "max_profile_fields": MAX_FIELDS,
            "profile_field_name_limit": MAX_FIELD_LENGTH,
            "profile_field_value_limit": MAX_FIELD_LENGTH,
        },
        "statuses": {
            "max_characters": MAX_TEXT_LENGTH,
            "max_media_attachments": MAX_MEDIA,
            "characters_reserved_per_url": LINK_LENGTH,
        },
        "media_attachments": {
            "supported_mime_types": IMAGE_TYPES,
            "description_limit": MAX_ALT_LENGTH,
            "image_size_limit": ports.media.max_bytes,
            "image_matrix_limit": MAX_PIXELS,
            "video_size_limit": 0,
            "video_frame_rate_limit": 0,
            "video_matrix_limit": 0,
        },
        "polls": {
            "max_options": 0,
            "max_characters_per_option": 0,
            "min_expiration": 0,
            "max_expiration": 0,
        },
    }


@router.get("/api/v1/instance")
async def instance_v1(state: CurrentState) -> Response:
    """The entity `V1::Instance`."""
    base_url = state.ports.base_url
    figures = await state.instance_figures.read()
    return entity(
        {
            "uri": domain_of(base_url),
            "title": _TITLE,
            "short_description": _ABOUT,
            "description": _ABOUT,
            "email": f"admin@{urlsplit(base_url).hostname}",
            "version": MASTODON_VERSION,
            "urls": {"streaming_api": streaming_url(base_url)},
            "stats": {
                "user_count": figures.users,
                "status_count": figures.posts,
                "domain_count": 0,
            },
            "thumbnail": base_url + HEADER_PATH,
            "languages": ["en"],
            "registrations": True,
            "approval_required": False,
            "invites_enabled": False,
            "configuration": _configuration(state.ports),
            "contact_account": None,
            "rules": [],
        }
    )


@router.get("/api/v2/instance")
async def instance_v2(state: CurrentState) -> Response:
    """The entity `Instance`."""
    base_url = state.ports.base_url
    figures = await state.instance_figures.read()
    more = {
        "urls": {"streaming": streaming_url(base_url)},
        "vapid": {"public_key": ""},
        "translation": {"enabled": False},
    }
    return entity(
        {
            "domain": domain_of(base_url),
            "title": _TITLE,
            "version": MASTODON_VERSION,
            "source_url": _SOURCE or base_url,
            "description": _ABOUT,
            "usage": {"users": {"active_month": figures.active_month}},
            "thumbnail": {"url": base_url + HEADER_PATH},
            "icon": [],
            "languages": ["en"],
            "configuration": _configuration(state.ports) | more,
            "registrations": {"enabled": True, "approval_required": False, "message": None},
            "contact": {"email": f"admin@{urlsplit(base_url).hostname}", "account": None},
            "rules": [],
            "api_versions": API_VERSIONS,
        }
    )


@router.get("/.well-known/nodeinfo")
async def nodeinfo_links(state: CurrentState) -> Response:
    """Where nodeinfo is."""
    relation = "http://nodeinfo.diaspora.software/ns/schema/2.0"
    return entity({"links": [{"rel": relation, "href": f"{state.ports.base_url}/nodeinfo/2.0"}]})


@router.get("/nodeinfo/2.0")
async def nodeinfo(state: CurrentState) -> Response:
    """What software this is. Clients look for the name of the one whose API is here."""
    figures = await state.instance_figures.read()
    return entity(
        {
            "version": "2.0",
            "software": {"name": "starling", "version": PROGRAM_VERSION},
            "protocols": [],
            "services": {"inbound": [], "outbound": []},
            "openRegistrations": True,
            "usage": {
                "users": {"total": figures.users, "activeMonth": figures.active_month},
                "localPosts": figures.posts,
            },
            "metadata": {"upstream": {"name": "mastodon"}},
        }
    )
