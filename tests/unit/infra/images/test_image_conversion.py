"""What becomes of images, and of files that only look like some."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import blurhash
import pytest
from PIL import Image, ImageCms

from api.media.errors import ImageRefused
from api.media.media_store import THUMBNAIL_SIDE
from infra.images.image_conversion import MAX_FRAMES, convert_image
from tests.support.media import draw_image, encode, image_bytes

WHITE = "TSUA"
"""As the standard encodes the mean colour of an image, with 4 x 3 components (`L`)."""


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG that says it has so many pixels, of one bit each."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + (width + 7) // 8)) for _ in range(height))
    pixels = png_chunk(b"IDAT", data + rows.flush())
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + png_chunk(b"IEND", b"")


def gif_of(frames: int, side: int = 1) -> bytes:
    """An animation, each frame of which takes a few bytes."""
    frame = b"\x21\xf9\x04\x00\x01\x00\x00\x00" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    frame += b"\x02\x02\x44\x01\x00"
    screen = struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\x00\x00\x00\xff\xff\xff"
    return b"GIF89a" + screen + frame * frames + b"\x3b"


def photograph(orientation: int = 1) -> bytes:
    """A JPEG with a place, a comment and a turn in its metadata."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "ACME cameras"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    return image_bytes(form="JPEG", exif=exif, comment=b"at my house")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_an_image_keeps_its_format_and_its_size(form: str) -> None:
    made = convert_image(image_bytes(form=form))
    kept = opened(made.content)
    assert (kept.format, made.type) == (form, f"image/{form.lower()}")
    assert kept.size == (made.width, made.height) == (48, 32)
    small = opened(made.thumbnail)
    assert (small.format, small.size) == ("WEBP", (48, 32))
    assert made == convert_image(image_bytes(form=form)), "equal images have equal ids"


def test_a_thumbnail_is_bounded_and_keeps_the_shape() -> None:
    made = convert_image(encode(draw_image(size=(1600, 800)), "JPEG"))
    assert opened(made.thumbnail).size == (THUMBNAIL_SIDE, THUMBNAIL_SIDE // 2)


def test_a_blurhash_is_that_of_the_standard() -> None:
    white = convert_image(encode(Image.new("RGB", (64, 64), "white"), "PNG"))
    assert (white.blurhash[0], white.blurhash[2:6]) == ("L", WHITE)
    clear = convert_image(encode(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG"))
    assert clear.blurhash == white.blurhash, "what is transparent is shown on white"
    half = Image.new("RGB", (64, 64), "white")
    half.paste("black", (0, 0, 32, 64))
    first, *_, last = blurhash.decode(convert_image(encode(half, "PNG")).blurhash, 8, 1)[0]
    assert sum(first) < 450 < 600 < sum(last)


@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (48, 32)), (3, (48, 32)), (6, (32, 48)), (8, (32, 48))]
)
def test_a_photograph_is_turned_and_its_metadata_are_gone(
    orientation: int, size: tuple[int, int]
) -> None:
    sent = photograph(orientation)
    assert b"ACME" in sent
    assert b"house" in sent
    made = convert_image(sent)
    assert (made.width, made.height) == opened(made.content).size == size
    assert dict(opened(made.content).getexif()) == {}
    for content in (made.content, made.thumbnail):
        assert not any(word in content for word in (b"Exif", b"ACME", b"house", b"EXIF"))


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF"])
def test_other_formats_lose_their_metadata_too(form: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "ACME cameras"
    options: dict[str, Any] = {"comment": b"ACME"} if form == "GIF" else {"exif": exif}
    if form == "WEBP":
        options["xmp"] = b"<x>ACME</x>"
    sent = image_bytes(form=form, **options)
    assert b"ACME" in sent
    assert b"ACME" not in convert_image(sent).content


def test_colours_of_a_profile_are_turned_to_srgb_and_the_profile_is_gone() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ"))
    for profile in (lab.tobytes(), b"no profile at all"):
        made = convert_image(image_bytes(form="PNG", icc_profile=profile))
        assert "icc_profile" not in opened(made.content).info
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = convert_image(image_bytes(form="PNG", icc_profile=srgb))
    assert plain == convert_image(image_bytes(form="PNG"))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_png_of_every_kind_of_pixel_is_kept(mode: str) -> None:
    image = Image.new(mode, (9, 7)) if mode == "I;16" else draw_image(mode="RGBA").convert(mode)
    made = convert_image(encode(image, "PNG"))
    assert opened(made.content).size == image.size


def test_sixteen_bits_of_grey_become_eight() -> None:
    grey = Image.new("I;16", (8, 8), 0x8000)
    assert opened(convert_image(encode(grey, "PNG")).content).getpixel((0, 0)) == 0x80


def test_a_print_in_cmyk_is_shown_in_rgb() -> None:
    made = convert_image(encode(draw_image().convert("CMYK"), "JPEG"))
    assert opened(made.content).mode == "RGB"


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_an_animation_stays_one(form: str) -> None:
    frames = [draw_image(seed) for seed in range(3)]
    sent = encode(
        frames[0], form, save_all=True, append_images=frames[1:], duration=[50, 60, 70], loop=0
    )
    kept = opened(convert_image(sent).content)
    assert getattr(kept, "n_frames", 1) == 3
    assert kept.info.get("loop") == 0


def test_what_is_appended_for_another_program_is_gone() -> None:
    script = b"<script>alert(1)</script>PK\x03\x04"
    for form in ("JPEG", "PNG", "WEBP", "GIF"):
        sent = image_bytes(form=form) + script
        assert b"script" not in convert_image(sent).content


def refused(content: bytes) -> str:
    with pytest.raises(ImageRefused) as caught:
        convert_image(content)
    assert str(caught.value).count(":"), "it says what to do"
    return caught.value.code


def truncated(form: str) -> bytes:
    content = encode(draw_image(size=(300, 200)), form)
    return content[: len(content) * 2 // 3]


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        lambda: b"GIF89a",
        lambda: encode(draw_image(), "BMP"),
        lambda: encode(draw_image(), "TIFF"),
        lambda: b"%PDF-1.4 " + image_bytes(),
        lambda: image_bytes()[:30] + bytes(100),
        lambda: truncated("JPEG"),
        lambda: truncated("PNG"),
        lambda: truncated("WEBP"),
        lambda: png_of(8, 8, png_chunk(b"iCCP", b"x\x00\x00" + zlib.compress(bytes(4 << 20), 9))),
    ],
    ids=["empty", "svg", "head", "bmp", "tiff", "pdf", "zeros", "jpeg", "png", "webp", "iccp-bomb"],
)
def test_what_is_no_whole_image_is_refused(make: Callable[[], bytes]) -> None:
    assert refused(make()) == "image-invalid"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (png_of(30_000, 30_000), "image-too-large"),
        (png_of(20_000, 4), "image-too-large"),
        (gif_of(10_000), "image-too-long"),
        (gif_of(MAX_FRAMES, 5_000), "image-too-large"),
        (gif_of(1, 60_000), "image-too-large"),
    ],
    ids=["pixels", "side", "frames", "pixels-of-frames", "screen"],
)
def test_what_would_take_much_memory_is_refused_before_it_is_decoded(
    content: bytes, code: str
) -> None:
    assert len(content) < 250_000
    assert refused(content) == code


def test_a_frame_that_grows_the_screen_of_an_animation_is_refused() -> None:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x02\x02\x44\x01\x00"
    assert refused(gif_of(1)[:-1] + frame + b"\x3b") == "image-too-large"
