"""Images of 200 kB: taken in by an image worker, beside bare Pillow in this process.

Both decode, turn by EXIF, encode without metadata and make a thumbnail, with the same parameters.
Ours also checks sizes, makes the blurhash, and passes the image to a process and back. Counted are
images for a second of processor time, of all processes involved: that is what one core does.
"""

import asyncio
import io
import time
from contextlib import aclosing

import psutil
from PIL import Image, ImageOps

from api.media.media_store import THUMBNAIL_SIDE
from infra.images.image_workers import ImageWorkers
from tests.bench.result import Result
from tests.support.media import draw_image, encode

IMAGES = 20
SIZE = (1600, 1200)
FORMS = {"JPEG": {"quality": 85}, "PNG": {}, "WEBP": {"quality": 85}}


def measure(runs: int) -> list[Result]:
    """Images for a second of processor time, one after the other."""
    results = []
    for form, options in FORMS.items():
        content = _make_image(form, options)
        pairs = [(asyncio.run(_ours(content)), _bare(content, form, options)) for _ in range(runs)]
        results.append(
            Result.from_runs(
                f"{form} of {len(content) // 1000} kB, {SIZE[0]} x {SIZE[1]}",
                ("an image worker", [ours for ours, _ in pairs]),
                ("bare Pillow", [bare for _, bare in pairs]),
                target=0.8,
                unit="images/s",
            )
        )
    return results


def _make_image(form: str, options: dict[str, int]) -> bytes:
    """Blots and a little noise, as a photograph has both."""
    noise = Image.effect_noise((SIZE[0] // 2, SIZE[1] // 2), 12).resize(SIZE).convert("RGB")
    picture = Image.blend(draw_image(size=SIZE), noise, 0.3)
    if form == "PNG":
        picture = picture.quantize(32).convert("RGB")  # what people draw, not what they photograph
    return encode(picture, form, **options)


async def _ours(content: bytes) -> float:
    async with aclosing(ImageWorkers(1)) as workers:
        await workers.convert(content)  # starts the process
        before = _processor_seconds()
        for _ in range(IMAGES):
            await workers.convert(content)
        return IMAGES / (_processor_seconds() - before)


def _processor_seconds() -> float:
    """Of this process and the one that converts."""
    [worker] = psutil.Process().children()
    used = worker.cpu_times()
    return time.process_time() + used.user + used.system


def _bare(content: bytes, form: str, options: dict[str, int]) -> float:
    before = time.process_time()
    for _ in range(IMAGES):
        with Image.open(io.BytesIO(content)) as source:
            image = ImageOps.exif_transpose(source)
        image.info.clear()
        more = {"optimize": True} if form == "JPEG" else {}
        image.save(io.BytesIO(), form, **options, **more)
        image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        image.save(io.BytesIO(), "WEBP", quality=75)
    return IMAGES / (time.process_time() - before)
