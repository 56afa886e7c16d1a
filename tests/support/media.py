"""Images for tests, and a store and a converter in this process."""

import io
import random
from collections.abc import Collection
from typing import Any

from PIL import Image

from api.media.media_store import ConvertedImage
from infra.images.image_conversion import convert_image


class MediaInMemory:
    """A `MediaStore` for tests."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def put(self, name: str, content: bytes) -> None:
        self.files[name] = content

    async def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    async def delete(self, names: Collection[str]) -> None:
        for name in names:
            self.files.pop(name, None)


class ConverterInProcess:
    """An `ImageConverter` without processes of its own."""

    async def convert(self, content: bytes) -> ConvertedImage:
        """As `ImageWorkers` does it."""
        return convert_image(content)


def draw_image(seed: int = 0, size: tuple[int, int] = (48, 32), mode: str = "RGB") -> Image.Image:
    """Some blots, others for each seed."""
    blots = random.Random(seed).randbytes(4 * 6 * 4)
    return Image.frombytes("RGBA", (6, 4), blots).resize(size).convert(mode)


def image_bytes(seed: int = 0, form: str = "PNG", **options: Any) -> bytes:
    """An image as clients send it."""
    return encode(draw_image(seed), form, **options)


def encode(image: Image.Image, form: str, **options: Any) -> bytes:
    """An image in a file format."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()
