"""The ports of media: what makes an image of bytes, and what keeps it."""

import re
from collections.abc import Collection
from typing import Final, NamedTuple, Protocol


class ConvertedImage(NamedTuple):
    """An image as it is kept: upright, without metadata."""

    content: bytes
    type: str
    """`image/jpeg`, `image/png`, `image/webp` or `image/gif`."""
    width: int
    height: int
    blurhash: str
    """A few colours, as https://blurha.sh has them, to show while the image loads."""
    thumbnail: bytes
    """WebP, 400 pixels wide or high."""


class ImageConverter(Protocol):
    """Makes images of what clients send, which may be anything."""

    async def convert(self, content: bytes) -> ConvertedImage:
        """The image in these bytes. Raises `ImageRefused`, `ImagesBusy`."""
        ...


MAX_PIXELS: Final = 40_000_000
"""Of all frames of an image together: 160 MB while it is decoded."""

THUMBNAIL_TYPE: Final = "image/webp"
THUMBNAIL_SIDE: Final = 400
"""Pixels that a thumbnail is wide or high, at most."""

_ID: Final = re.compile(r"[0-9a-f]{64}")
_TYPES: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)


def is_media_id(id: str) -> bool:
    """Whether a text could be the id of an image: the SHA-256 of its bytes."""
    return _ID.fullmatch(id) is not None


def media_type(content: bytes) -> str:
    """The type of a file that the store keeps. `ImageConverter` has made it, so its first bytes
    tell."""
    return next((type for head, type in _TYPES if content.startswith(head)), "image/webp")


def thumbnail_name(id: str) -> str:
    """What the store calls the thumbnail of an image."""
    return f"{id}-thumbnail"


class MediaStore(Protocol):
    """Files by name; a name is an image's id or its thumbnail's. Methods may raise
    `MediaUnavailable`."""

    async def put(self, name: str, content: bytes) -> None:
        """Keep a file, whole or not at all, in place of one of this name. Durable on return."""
        ...

    async def read(self, name: str) -> bytes | None:
        """The file of a name; None where there is none."""
        ...

    async def delete(self, names: Collection[str]) -> None:
        """Remove files; no error for those that are not there."""
        ...
