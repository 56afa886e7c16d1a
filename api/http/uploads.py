"""Uploaded images, as routes read them from forms."""

from typing import Final

from api.http.errors import RequestRefused

FORM_BYTES: Final = 64 << 10
"""What a form may have beside its file."""


def checked_upload(part: str, content: object, most_bytes: int) -> bytes:
    """What a part of a form holds. Raises `RequestRefused` (422 for what is no file; 413)."""
    if not isinstance(content, bytes):
        message = f"send the image as the part `{part}` of a multipart form, with a name"
        raise RequestRefused(422, "invalid-body", message)
    if len(content) > most_bytes:
        message = f"the image is larger than {most_bytes:,} bytes: save it smaller"
        raise RequestRefused(413, "body-too-large", message)
    return content


def no_such_image(id: str) -> RequestRefused:
    """The refusal of an image that is not there (any more)."""
    message = f"there is no image {id[:64]} (any more); check the id"
    return RequestRefused(404, "media-not-found", message)


def no_such_upload(id: str) -> RequestRefused:
    """The refusal of an image that can't be changed, whether it is shown or not there at all."""
    message = f"you have no image {id[:64]} that nothing shows yet: upload it (again)"
    return RequestRefused(404, "media-not-found", message)
