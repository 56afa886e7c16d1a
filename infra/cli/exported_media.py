"""Images beside an export: `starling replay --with-media` puts them there, `starling restore` takes
them from there.

An image's file is named by the SHA-256 of its bytes, which the export says, too. An export is input
from outside, so a restore takes only what has the right sum and is an image; thumbnails it makes
anew.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from api.media.errors import ImageRefused, MediaError
from api.media.media_store import ImageConverter, MediaStore, is_media_id, thumbnail_name
from events.codec import EVENT_CODEC
from events.event_filter import EventFilter, select_events
from events.event_types import EVENT_TYPES
from events.log import LOG_START, EventLog
from events.schema import PostCreated, ProfileChanged
from infra.cli.errors import UserError
from infra.files.media_folder import MediaFolder
from infra.settings import Settings

_SHOWING: Final = frozenset(EVENT_TYPES[kind][0] for kind in (PostCreated, ProfileChanged))
_AT_ONCE: Final = 8

T = TypeVar("T")


def folder_beside(export: Path) -> Path:
    """Where the images of an export are."""
    return export.with_name(f"{export.name}.media")


def export_media(
    settings: Settings, log: EventLog, selection: EventFilter, through: int, folder: Path
) -> tuple[int, int]:
    """Copy the images that the selected events up to a position show, as far as they are still kept
    and the folder lacks them; how many those were, and how many are kept no more. Raises
    `UserError`.
    """
    from infra.wiring.media_store import open_media_store

    store, copies = open_media_store(settings), MediaFolder(folder)
    gone: list[str] = []

    async def copy(id: str) -> int:
        if await asyncio.to_thread(copies.path_of(id).exists):
            return 0
        content = await store.read(id)
        if content is None:  # what showed it was deleted
            gone.append(id)
            return 0
        await copies.put(id, content)
        return 1

    async def copy_all() -> int:
        ids = set(_ids_shown(log, selection, through))
        return await _in_turns(copy, sorted(ids))

    return _run(copy_all), len(gone)


def _ids_shown(log: EventLog, selection: EventFilter, through: int) -> Iterator[str]:
    types = _SHOWING if selection.types is None else _SHOWING & selection.types
    for page in select_events(log, replace(selection, types=types), LOG_START, through):
        for stored in page.events:
            event = EVENT_CODEC.decode(stored.type, stored.schema, stored.data)
            ids = (
                [medium.id for medium in event.media]
                if isinstance(event, PostCreated)
                else [event.avatar, event.header]
                if isinstance(event, ProfileChanged)
                else []
            )
            yield from filter(is_media_id, ids)


def restore_media(settings: Settings, folder: Path) -> int:
    """Put the images of an export into the store; how many those were. Raises `UserError`."""
    from infra.images.image_workers import ImageWorkers
    from infra.wiring.media_store import open_media_store

    store = open_media_store(settings)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())

    async def put_all() -> int:
        async with aclosing(ImageWorkers(settings.image_workers)) as converter:
            return await _in_turns(lambda path: _restore_one(store, converter, path), paths)

    return _run(put_all)


async def _restore_one(store: MediaStore, converter: ImageConverter, path: Path) -> int:
    content = await asyncio.to_thread(path.read_bytes)
    if hashlib.sha256(content).hexdigest() != path.name:
        raise UserError(f"{path} is damaged: its name is not the SHA-256 of its bytes")
    try:
        image = await converter.convert(content)
    except ImageRefused as error:
        raise UserError(f"{path}: {error}") from error
    await store.put(thumbnail_name(path.name), image.thumbnail)
    await store.put(path.name, content)
    return 1


async def _in_turns(work: Callable[[T], Awaitable[int]], items: Sequence[T]) -> int:
    """The sum of what the work gives for each item, some at once. Raises what one of them does."""
    done = 0
    for start in range(0, len(items), _AT_ONCE):
        # None is left at work where another one fails.
        some = map(work, items[start : start + _AT_ONCE])
        for result in await asyncio.gather(*some, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            done += result
    return done


def _run(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    try:
        return asyncio.run(work())
    except MediaError as error:
        raise UserError(str(error)) from error
