"""What a server says of itself: `instance` in both versions."""

from collections.abc import Sequence
from importlib.metadata import metadata, version
from typing import Annotated, Final, TypedDict
from urllib.parse import urlsplit

from fastapi import APIRouter

from api.mastodon.entities import Count, EmptyList, EntityResponse, Url, about, entity
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


class AccountLimitsEntity(TypedDict):
    """What an account may have."""

    max_featured_tags: Count
    max_pinned_statuses: Count
    max_display_name_length: Count
    max_note_length: Count
    max_profile_fields: Count
    profile_field_name_limit: Count
    profile_field_value_limit: Count


class StatusLimitsEntity(TypedDict):
    """What a status may have."""

    max_characters: Annotated[Count, about("Grapheme clusters; the `spoiler_text` has its own")]
    max_media_attachments: Count
    characters_reserved_per_url: Annotated[Count, about("What a link counts, however long")]


class MediaLimitsEntity(TypedDict):
    """What an image may be. There are no videos."""

    supported_mime_types: Sequence[str]
    description_limit: Annotated[Count, about("Characters of the alternative text")]
    image_size_limit: Annotated[Count, about("Bytes")]
    image_matrix_limit: Annotated[Count, about("Pixels")]
    video_size_limit: Count
    video_frame_rate_limit: Count
    video_matrix_limit: Count


class PollLimitsEntity(TypedDict):
    """Polls, of which there are none."""

    max_options: Count
    max_characters_per_option: Count
    min_expiration: Count
    max_expiration: Count


class LimitsEntity(TypedDict):
    """The limits of this server."""

    accounts: AccountLimitsEntity
    statuses: StatusLimitsEntity
    media_attachments: MediaLimitsEntity
    polls: PollLimitsEntity


class InstanceUrlsEntity(TypedDict):
    """Other addresses of the server."""

    streaming: Annotated[Url, about("Of live streams: scheme and host; append the path")]


class VapidEntity(TypedDict):
    """Web Push, of which there is none."""

    public_key: Annotated[str, about("Empty")]


class TranslationSupportEntity(TypedDict):
    """Whether statuses can be translated."""

    enabled: bool


class ConfigurationEntity(LimitsEntity):
    """The limits of this server, and what it has."""

    urls: InstanceUrlsEntity
    vapid: VapidEntity
    translation: TranslationSupportEntity


class V1InstanceUrlsEntity(TypedDict):
    """Other addresses of the server."""

    streaming_api: Annotated[Url, about("Of live streams: scheme and host; append the path")]


class InstanceStatsEntity(TypedDict):
    """How much there is, at most ten minutes old."""

    user_count: Count
    status_count: Count
    domain_count: Annotated[Count, about("There is no other server: 0")]


class V1InstanceEntity(TypedDict):
    """The server, in the first version of the API."""

    uri: Annotated[str, about("Its host, with an unusual port; no URL")]
    title: str
    short_description: str
    description: str
    email: str
    version: Annotated[str, about("Mastodon's, which it is compatible with, and its own")]
    urls: V1InstanceUrlsEntity
    stats: InstanceStatsEntity
    thumbnail: Url
    languages: list[str]
    registrations: bool
    approval_required: bool
    invites_enabled: bool
    configuration: LimitsEntity
    contact_account: None
    rules: EmptyList


class ActiveUsersEntity(TypedDict):
    """How many accounts did something."""

    active_month: Annotated[Count, about("Within 30 days, at most ten minutes old")]


class InstanceUsageEntity(TypedDict):
    """How much the server is used."""

    users: ActiveUsersEntity


class ThumbnailEntity(TypedDict):
    """A picture of the server."""

    url: Url


class RegistrationsEntity(TypedDict):
    """Whether accounts can be made."""

    enabled: bool
    approval_required: bool
    message: None


class ContactEntity(TypedDict):
    """Who runs the server."""

    email: str
    account: None


class ApiVersionsEntity(TypedDict):
    """Versions of the APIs, for clients that leave out what is newer."""

    mastodon: int
    starling: int


class InstanceEntity(TypedDict):
    """The server."""

    domain: Annotated[str, about("Its host, with an unusual port")]
    title: str
    version: Annotated[str, about("Mastodon's, which it is compatible with, and its own")]
    source_url: Url
    description: str
    usage: InstanceUsageEntity
    thumbnail: ThumbnailEntity
    icon: EmptyList
    languages: list[str]
    configuration: ConfigurationEntity
    registrations: RegistrationsEntity
    contact: ContactEntity
    rules: EmptyList
    api_versions: ApiVersionsEntity


def domain_of(base_url: str) -> str:
    """The host of the server, with its port where it has an unusual one."""
    return urlsplit(base_url).netloc


def streaming_url(base_url: str) -> str:
    """Where the streams are: scheme and host, without a path."""
    scheme = "wss" if base_url.startswith("https:") else "ws"
    return f"{scheme}://{domain_of(base_url)}"


def _limits(ports: Ports) -> LimitsEntity:
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
async def instance_v1(state: CurrentState) -> EntityResponse[V1InstanceEntity]:
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
            "configuration": _limits(state.ports),
            "contact_account": None,
            "rules": [],
        }
    )


@router.get("/api/v2/instance")
async def instance_v2(state: CurrentState) -> EntityResponse[InstanceEntity]:
    """The entity `Instance`."""
    base_url = state.ports.base_url
    figures = await state.instance_figures.read()
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
            "configuration": {
                **_limits(state.ports),
                "urls": {"streaming": streaming_url(base_url)},
                "vapid": {"public_key": ""},
                "translation": {"enabled": False},
            },
            "registrations": {"enabled": True, "approval_required": False, "message": None},
            "contact": {"email": f"admin@{urlsplit(base_url).hostname}", "account": None},
            "rules": [],
            "api_versions": {"mastodon": 2, "starling": 1},
        }
    )
