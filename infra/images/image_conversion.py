"""Makes of bytes that may be anything an image to keep: decoded, upright, without metadata.

Whatever is not the picture itself is gone afterwards, since it is encoded anew: EXIF with its
places, comments, colour profiles (the colours are turned to sRGB first), and what was appended for
another program to find. Sizes are looked at before anything is decoded. Run it in a process that
may be killed (`infra.images.image_worker`): it has no limit on time, and a rough one on memory.
"""

import io
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import blurhash
from PIL import GifImagePlugin, Image, ImageCms, ImageSequence, UnidentifiedImageError

from api.media.errors import ImageRefused
from api.media.media_store import MAX_PIXELS, THUMBNAIL_SIDE, ConvertedImage

MAX_SIDE: Final = 16_383
"""What WebP can have."""
MAX_FRAMES: Final = 500

_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF")
_TYPES: Final = {form: f"image/{form.lower()}" for form in _FORMATS}
_ENCODINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "JPEG": {"quality": 85, "optimize": True},
    "PNG": {},
    "WEBP": {"quality": 85},
    "GIF": {},
}
_MODES: Final = {
    "JPEG": ("RGB", "L"),
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("P", "L", "RGB", "RGBA"),
}
"""The modes of pixels that an encoder is given; others are converted."""
_BLURHASH_SIDE: Final = 16
_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its EXIF orientation."""

_DAMAGED: Final = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, struct.error)
"""What Pillow's decoders raise for bytes that are no whole image."""


def convert_image(content: bytes) -> ConvertedImage:
    """The image in these bytes. Raises `ImageRefused`."""
    with _refusals():
        with Image.open(io.BytesIO(content), formats=_FORMATS) as source:
            # A photograph with a second picture in it calls itself MPO.
            form = "JPEG" if source.format == "MPO" else str(source.format)
            frame_count = _check_size(source, form)
            turn = _TURNS.get(_orientation(source))
            profile = source.info.get("icc_profile")
            frames = [
                _clean_frame(frame, form, turn, profile)
                for frame in (ImageSequence.Iterator(source) if frame_count > 1 else (source,))
            ]
            loop = source.info.get("loop")
        encoded = _encode(frames, form, loop)
        thumbnail = _make_thumbnail(frames[0])
        return ConvertedImage(
            encoded,
            _TYPES[form],
            *frames[0].size,
            _blur(thumbnail),
            _encode_one(thumbnail, "WEBP", quality=75),
        )


@contextmanager
def _refusals() -> Iterator[None]:
    """Turns what Pillow raises into `ImageRefused`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about details of files, for programmers
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        raise _too_large() from None
    except UnidentifiedImageError:
        raise ImageRefused(
            "image-invalid", "this is no JPEG, PNG, WebP or GIF: send one of these"
        ) from None
    except _DAMAGED as error:
        raise ImageRefused(
            "image-invalid", f"this is no whole image ({error}): save it anew and send that"
        ) from None


def _check_size(image: Image.Image, form: str) -> int:
    """How many frames there are to keep. Nothing is decoded yet."""
    width, height = image.size
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise _too_large()
    if form not in ("GIF", "WEBP"):
        return 1  # of animated PNG the picture that all programs show
    count = int(getattr(image, "n_frames", 1))
    if count > MAX_FRAMES:
        raise ImageRefused(
            "image-too-long", f"it has {count:,} frames: send an animation of {MAX_FRAMES} at most"
        )
    if width * height * count > MAX_PIXELS:
        raise _too_large()
    return count


def _too_large() -> ImageRefused:
    return ImageRefused(
        "image-too-large",
        f"it has too many pixels: make it smaller, {MAX_PIXELS // 1_000_000} million at most (of "
        f"all frames together) and no side longer than {MAX_SIDE:,}",
    )


def _orientation(image: Image.Image) -> int:
    with suppress(*_DAMAGED, TypeError):  # unreadable metadata say nothing
        return int(image.getexif().get(_ORIENTATION, 1))
    return 1


def _clean_frame(
    frame: Image.Image, form: str, turn: Image.Transpose | None, profile: bytes | None
) -> Image.Image:
    """A frame of its own, with what an encoder needs to know about it and nothing more."""
    frame.load()
    kept: dict[str | tuple[int, int], Any] = {
        name: frame.info[name] for name in ("transparency", "duration") if name in frame.info
    }
    clean = _in_srgb(frame, profile) if profile else frame
    if clean.mode.startswith("I"):  # 16 bits a pixel
        clean = clean.convert("I").point(lambda value: value / 256).convert("L")
    if clean.mode not in _MODES[form]:
        with_alpha = form != "JPEG" and (clean.has_transparency_data or "A" in clean.mode)
        clean = clean.convert("RGBA" if with_alpha else "RGB")
        kept.pop("transparency", None)
    clean = clean.transpose(turn) if turn is not None else clean.copy()
    clean.info = kept
    return clean


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The colours that a profile means; as they are where it says nothing that can be used."""
    if image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        turned = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (ImageCms.PyCMSError, *_DAMAGED, TypeError):
        return image
    return image if turned is None else turned


def _encode(frames: list[Image.Image], form: str, loop: Any) -> bytes:
    if len(frames) == 1:
        frames[0].info.pop("duration", None)
        return _encode_one(frames[0], form, **_ENCODINGS[form])
    options: dict[str, Any] = dict(_ENCODINGS[form])
    options["duration"] = [frame.info.get("duration", 100) for frame in frames]
    if form == "GIF" and any("transparency" in frame.info for frame in frames):
        options["disposal"] = 2
    if isinstance(loop, int):
        options["loop"] = loop
    return _encode_one(frames[0], form, save_all=True, append_images=frames[1:], **options)


def _encode_one(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def _make_thumbnail(image: Image.Image) -> Image.Image:
    small = image
    if image.mode not in ("RGB", "L"):
        small = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if small is image:
        small = image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    small.info = {}
    return small if small.mode in ("RGB", "RGBA") else small.convert("RGB")


def _blur(thumbnail: Image.Image) -> str:
    tiny = thumbnail.resize((_BLURHASH_SIDE, _BLURHASH_SIDE), reducing_gap=2.0)
    if tiny.mode == "RGBA":
        white = Image.new("RGBA", tiny.size, "white")
        tiny = Image.alpha_composite(white, tiny).convert("RGB")
    data = tiny.tobytes()
    row = 3 * _BLURHASH_SIDE
    pixels = [
        [data[at : at + 3] for at in range(start, start + row, 3)]
        for start in range(0, len(data), row)
    ]
    found: str = blurhash.encode(pixels, 4, 3)
    return found


Image.MAX_IMAGE_PIXELS = MAX_PIXELS
# Frames keep their palette where they can: the encoder would only have to find it again.
GifImagePlugin.LOADING_STRATEGY = GifImagePlugin.LoadingStrategy.RGB_AFTER_DIFFERENT_PALETTE_ONLY
