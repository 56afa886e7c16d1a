"""Uploads: images for a post that is written next."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field

from api.http.tokens import Actor, Reader, require_account
from api.http.uploads import checked_upload, no_such_image
from api.mastodon.entities import EntityResponse, entity
from api.mastodon.media_entities import MediaAttachmentEntity, media_attachment
from api.mastodon.parameters import (
    ClientParameters,
    Text,
    Upload,
    documented_by,
    example,
    read_as,
    reads,
)
from api.state import CurrentState

router = APIRouter(prefix="/api", tags=["mastodon"])


class NewMedium(ClientParameters):
    """An image and what it shows in words. What a client says of its focus is not kept."""

    file: Annotated[Upload, Field(description="JPEG, PNG, GIF or WebP")] = None
    description: Annotated[Text, Field(description="The alternative text")] = ""


class ChangedMedium(ClientParameters):
    """Another alternative text."""

    model_config = example(description="A cat on a roof")

    description: Annotated[
        Text | None, Field(description="The alternative text; empty, there is none")
    ] = None


@router.post("/v2/media")
@router.post("/v1/media")
@documented_by(NewMedium)
async def upload_media(
    request: Request, actor: Actor, state: CurrentState
) -> EntityResponse[MediaAttachmentEntity]:
    """Upload an image: the entity `MediaAttachment`. It can be posted within a day."""
    # Before the body is read: strangers can't have it parsed.
    await require_account(state, actor)
    new = await read_as(request, NewMedium)
    content = checked_upload("file", new.file, state.ports.media.max_bytes)
    medium = await state.media.upload(actor, content, new.description)
    return entity(media_attachment(medium, state.ports.base_url))


@router.get("/v1/media/{id}")
async def get_media(
    id: str, reader: Reader, state: CurrentState
) -> EntityResponse[MediaAttachmentEntity]:
    """An image of one's own that no post shows yet."""
    found = await state.media.find_uploads(reader, (id,))
    if not found:
        raise no_such_image(id)
    return entity(media_attachment(found[id], state.ports.base_url))


@router.put("/v1/media/{id}")
async def change_media(
    id: str,
    actor: Actor,
    state: CurrentState,
    change: Annotated[ChangedMedium, reads(ChangedMedium)],
) -> EntityResponse[MediaAttachmentEntity]:
    """Change the alternative text of an image that no post shows yet."""
    if change.description is None:
        return await get_media(id, actor, state)
    medium = await state.media.change_alt(actor, id, change.description)
    if medium is None:
        raise no_such_image(id)
    return entity(media_attachment(medium, state.ports.base_url))
