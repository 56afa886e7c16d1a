"""The avatar and the header of accounts that have none: clients need a real image of each."""

import struct
import zlib
from typing import Final

from fastapi import APIRouter, Response

AVATAR_PATH: Final = "/avatars/original/missing.png"
HEADER_PATH: Final = "/headers/original/missing.png"

_CACHED_FOR_A_DAY: Final = {"cache-control": "public, max-age=86400"}

router = APIRouter(include_in_schema=False)


def plain_png(width: int, height: int, colour: bytes) -> bytes:
    """An image of one colour (three bytes), as a PNG with one bit a pixel."""
    size = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height), 9)
    chunks = ((b"IHDR", size), (b"PLTE", colour), (b"IDAT", rows), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


_AVATAR: Final = plain_png(400, 400, b"\x5b\x7c\x99")
_HEADER: Final = plain_png(1500, 500, b"\x2f\x3e\x4e")


@router.get(AVATAR_PATH)
async def default_avatar() -> Response:
    """The avatar of accounts without one."""
    return Response(_AVATAR, headers=_CACHED_FOR_A_DAY, media_type="image/png")


@router.get(HEADER_PATH)
async def default_header() -> Response:
    """The header of accounts without one."""
    return Response(_HEADER, headers=_CACHED_FOR_A_DAY, media_type="image/png")
