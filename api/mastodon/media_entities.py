"""Images as Mastodon's entity `MediaAttachment`."""

from collections.abc import Sequence
from typing import Annotated, Final, TypedDict

import msgspec
from msgspec import Meta

from api.mastodon.entities import Url, about
from api.media.media_store import THUMBNAIL_SIDE
from api.views.media import image_url
from events.schema import Medium
from events.sealed_text import OpenText

_decode_media: Final = msgspec.json.Decoder(tuple[Medium | str, ...]).decode


class MediaSizeEntity(TypedDict):
    """The size of an image."""

    width: Annotated[int, about("In pixels")]
    height: Annotated[int, about("In pixels")]
    size: Annotated[str, about("Both, as `640x480`")]
    aspect: Annotated[float, about("Width by height")]


class MediaMetaEntity(TypedDict):
    """The sizes of an image, for the place that it takes before it is loaded."""

    original: MediaSizeEntity
    small: Annotated[MediaSizeEntity, about("Of the thumbnail")]


class MediaAttachmentEntity(TypedDict):
    """An image of a status, or one that was uploaded for the next."""

    id: str
    type: Annotated[str, Meta(extra_json_schema={"enum": ["image"]})]
    url: Url
    preview_url: Annotated[Url, about("A thumbnail")]
    remote_url: Annotated[None, about("There is no other server")]
    meta: MediaMetaEntity
    description: Annotated[str | None, about("The alternative text; null where there is none")]
    blurhash: Annotated[str | None, about("Colours to draw before the image is loaded")]


def shown_media(column: str, open_text: OpenText) -> Sequence[Medium]:
    """The images of a post's row, with their alternative texts as written.

    Posts of before there were images may name some that were never kept: they show none.
    """
    if column == "[]":
        return ()
    return [
        msgspec.structs.replace(one, alt=open_text(one.alt))
        for one in _decode_media(column)
        if isinstance(one, Medium) and one.type
    ]


def media_attachment(medium: Medium, base_url: str) -> MediaAttachmentEntity:
    """The entity of an image; its `small` is the thumbnail."""
    url = image_url(medium.id, base_url)
    scale = min(1.0, THUMBNAIL_SIDE / max(1, medium.width, medium.height))
    small = (max(1, round(side * scale)) for side in (medium.width, medium.height))
    return {
        "id": medium.id,
        "type": "image",
        "url": url,
        "preview_url": f"{url}/thumbnail",
        "remote_url": None,
        "meta": {"original": _size(medium.width, medium.height), "small": _size(*small)},
        "description": medium.alt or None,
        "blurhash": medium.blurhash or None,
    }


def _size(width: int, height: int) -> MediaSizeEntity:
    return {
        "width": width,
        "height": height,
        "size": f"{width}x{height}",
        "aspect": width / max(1, height),
    }
