"""Images as JSON."""

from typing import Final

import msgspec

from api.schemas import Image, encode_json
from events.schema import Medium
from events.sealed_text import OpenText

_decode_media: Final = msgspec.json.Decoder(tuple[Medium | str, ...]).decode


def image_url(id: str, base_url: str) -> str:
    """Where the bytes of an image are."""
    return f"{base_url}/v1/media/{id}"


def image_of(medium: Medium, base_url: str) -> Image:
    """An image as the API shows it."""
    url = image_url(medium.id, base_url)
    return Image(
        id=medium.id,
        url=url,
        thumbnail_url=f"{url}/thumbnail",
        type=medium.type,
        width=medium.width,
        height=medium.height,
        blurhash=medium.blurhash,
        alt=medium.alt,
    )


def media_json(media: str, open_text: OpenText, base_url: str) -> str:
    """The images of a post, from the column of its row.

    Posts of before there were images may name some that were never kept: they show none.
    """
    if media == "[]":
        return media
    shown = [
        image_of(msgspec.structs.replace(medium, alt=open_text(medium.alt)), base_url).model_dump()
        for medium in _decode_media(media)
        if isinstance(medium, Medium) and medium.type
    ]
    return encode_json(shown).decode()
