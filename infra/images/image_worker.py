"""A process that converts images: `python -m infra.images.image_worker`.

It reads an image from stdin and writes what came of it to stdout, one after the other, each after
its length in four bytes; it ends at the end of its input. It may be killed at any time.
"""

import os
import resource
from typing import BinaryIO, Final

import msgspec

from api.media.errors import ImageRefused
from api.media.media_store import ConvertedImage
from infra.images.image_conversion import convert_image

MOST_MEMORY: Final = 1 << 30
"""Bytes of address space. The largest image that is taken needs a third of it."""

LENGTH_BYTES: Final = 4


class Converted(msgspec.Struct, frozen=True, tag="converted"):
    """The image."""

    image: ConvertedImage


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """As `ImageRefused`."""

    code: str
    message: str


def main() -> None:
    """Convert until there is no more to read."""
    for limit, most in (
        (resource.RLIMIT_AS, MOST_MEMORY),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),  # it has nothing to write to a file
    ):
        resource.setrlimit(limit, (most, most))
    os.nice(5)  # those who read come before those who upload
    with open(0, "rb") as source, open(1, "wb") as sink:
        while head := source.read(LENGTH_BYTES):
            answer = msgspec.msgpack.encode(_convert(source, int.from_bytes(head, "big")))
            sink.write(len(answer).to_bytes(LENGTH_BYTES, "big") + answer)
            sink.flush()


def _convert(source: BinaryIO, size: int) -> Converted | Refused:
    try:
        return Converted(convert_image(source.read(size)))
    except ImageRefused as error:
        return Refused(error.code, str(error))


if __name__ == "__main__":
    main()
