"""`/v1/media`: images that posts and profiles show."""

import re
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from api.http.errors import RequestRefused, problems
from api.http.route import ApiRoute
from api.http.tokens import Actor, require_account
from api.http.uploads import FORM_BYTES, checked_upload, no_such_image, no_such_upload
from api.media.media_store import THUMBNAIL_TYPE, is_media_id, media_type, thumbnail_name
from api.schemas import AltText, Image
from api.state import ApiState, CurrentState
from api.views.media import image_of

router = APIRouter(route_class=ApiRoute, prefix="/v1/media", tags=["media"])

_FILE_HEADERS: Final = {
    # The address says what the bytes are, so they never change.
    "cache-control": "public, max-age=31536000, immutable",
    # Opened by itself an image runs nothing and embeds nothing; on other pages it may be shown.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "cross-origin-resource-policy": "cross-origin",
    "accept-ranges": "bytes",
}
_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")

_UPLOAD_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "example": {"file": "owl.jpg", "alt": "An owl on a branch, at night"},
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "JPEG, PNG, WebP or GIF",
                        },
                        "alt": {
                            "type": "string",
                            "maxLength": 1500,
                            "description": "what it shows, for those who don't see it",
                        },
                    },
                },
            }
        },
    }
}
_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}
# The second for generators of clients, which know no images.
_IMAGE_CONTENT: Final = {"image/*": _BYTES, "application/octet-stream": _BYTES}
_BYTES_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": _IMAGE_CONTENT, "description": "The bytes"},
    206: {"content": _IMAGE_CONTENT, "description": "The bytes of the `Range`"},
    304: {"description": "What `If-None-Match` names is still right"},
    416: {"description": "The `Range` lies behind the end"},
    **problems(404, 503),
}


@router.post(
    "",
    status_code=201,
    responses=problems(400, 401, 403, 413, 422, 429, 503),
    openapi_extra=_UPLOAD_BODY,
)
async def upload_image(request: Request, actor: Actor, state: CurrentState) -> Image:
    """Upload an image, to show it in a post or a profile within a day."""
    # Before the body is read: strangers can't have it parsed.
    await require_account(state, actor)
    content, alt = await _read_form(request, state.ports.media.max_bytes)
    medium = await state.media.upload(actor, content, alt)
    return image_of(medium, state.ports.base_url)


@router.patch("/{id}", responses=problems(401, 403, 404, 422, 503))
async def change_alt(id: str, new: AltText, actor: Actor, state: CurrentState) -> Image:
    """Give an image of one's own, which nothing shows yet, another alternative text."""
    medium = await state.media.change_alt(actor, id, new.alt)
    if medium is None:
        raise no_such_upload(id)
    return image_of(medium, state.ports.base_url)


@router.get("/{id}", response_class=Response, responses=_BYTES_RESPONSES)
async def get_image(id: str, request: Request, state: CurrentState) -> Response:
    """The bytes of an image."""
    content = await _read_file(state, id, id)
    return _bytes_response(request, content, media_type(content), f'"{id}"')


@router.get("/{id}/thumbnail", response_class=Response, responses=_BYTES_RESPONSES)
async def get_thumbnail(id: str, request: Request, state: CurrentState) -> Response:
    """A smaller picture of an image."""
    content = await _read_file(state, id, thumbnail_name(id))
    return _bytes_response(request, content, THUMBNAIL_TYPE, f'"{id[:32]}-thumbnail"')


async def _read_form(request: Request, most_bytes: int) -> tuple[bytes, str]:
    try:
        async with request.form(max_files=1, max_fields=8, max_part_size=FORM_BYTES) as form:
            return await _read_parts(form, most_bytes)
    except HTTPException as error:
        if isinstance(error, RequestRefused):
            raise
        raise RequestRefused(
            400, "malformed-form", f"the form can't be read: {error.detail}"
        ) from error


async def _read_parts(form: FormData, most_bytes: int) -> tuple[bytes, str]:
    file, alt = form.get("file"), form.get("alt", "")
    sent = await file.read(most_bytes + 1) if isinstance(file, UploadFile) else None
    content = checked_upload("file", sent, most_bytes)
    if not isinstance(alt, str):
        raise RequestRefused(422, "invalid-body", "`alt`: it should be a text, not a file")
    if unknown := form.keys() - {"file", "alt"}:
        message = f"`{min(unknown)[:40]}` is no field of this: leave it out (it takes file, alt)"
        raise RequestRefused(422, "invalid-body", message)
    return content, alt


async def _read_file(state: ApiState, id: str, name: str) -> bytes:
    content = await state.media.store.read(name) if is_media_id(id) else None
    if content is None:
        raise no_such_image(id)
    return content


def _bytes_response(request: Request, content: bytes, type: str, etag: str) -> Response:
    headers = _FILE_HEADERS | {"etag": etag}
    matches = request.headers.get("if-none-match", "")
    if matches.strip() == "*" or etag in re.split(r"\s*,\s*", matches.replace("W/", "").strip()):
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range", "")
    if not wanted or request.headers.get("if-range", etag) != etag:
        return Response(content, headers=headers, media_type=type)
    span = _parse_range(wanted, len(content))
    if span is None:  # several at once, or another unit: the whole does as well
        return Response(content, headers=headers, media_type=type)
    if not span:
        return Response(
            status_code=416, headers=headers | {"content-range": f"bytes */{len(content)}"}
        )
    headers["content-range"] = f"bytes {span.start}-{span.stop - 1}/{len(content)}"
    return Response(content[span.start : span.stop], 206, headers, media_type=type)


def _parse_range(header: str, size: int) -> range | None:
    """The bytes that a `Range` asks for, none where they are all behind the end; None for what is
    no single range (RFC 9110, 14.2).
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1) if last else size)
