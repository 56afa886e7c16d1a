"""Uploads: an image comes in, is kept, and is there for its owner to show."""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from api.media.errors import ImageRefused, MediaUnavailable, TooManyUploads
from api.media.media_records import MediaRecords, Upload
from api.media.media_store import ImageConverter, MediaStore, thumbnail_name
from commands import text
from events.schema import Medium

MAX_ALT_LENGTH: Final = 1500
"""Characters of an alternative text, after NFC."""

UNSHOWN_MS: Final = 24 * 3_600_000
"""How long an upload can be shown; an hour later it is removed."""

MOST_UNSHOWN: Final = 100
"""Uploads that an account has and shows nowhere."""

_REMOVAL_TRIES: Final = 20
"""At an image that is just being removed, with a tenth of a second between."""


class OwnUploads:
    """The uploads that commands may show, each its owner's."""

    def __init__(self, records: MediaRecords, clock_ms: Callable[[], int]) -> None:
        self._records = records
        self._clock_ms = clock_ms

    async def find_uploads(self, owner: int, ids: Collection[str]) -> Mapping[str, Medium]:
        """Those of the images that the owner may show. Raises `MediaUnavailable`."""
        found = await self._records.find_uploads(owner, ids, self._clock_ms() - UNSHOWN_MS)
        return {upload.medium.id: upload.medium for upload in found}

    async def mark_shown(self, owner: int, ids: Collection[str]) -> None:
        """The owner shows these now, so nothing else may. Where this fails, the log says it."""
        with suppress(MediaUnavailable):
            await self._records.mark_shown(owner, ids)


class MediaLibrary(OwnUploads):
    """The images of an API process."""

    def __init__(
        self,
        store: MediaStore,
        records: MediaRecords,
        converter: ImageConverter,
        clock_ms: Callable[[], int],
    ) -> None:
        super().__init__(records, clock_ms)
        self.store = store
        self._converter = converter

    async def upload(self, owner: int, content: bytes, alt: str) -> Medium:
        """Keep an image for its owner. Raises `ImageRefused`, `ImagesBusy`, `TooManyUploads`,
        `MediaUnavailable`.
        """
        alt = _checked_alt(alt)
        image = await self._converter.convert(content)
        # Equal images have equal ids, so their files are kept once, however often they are sent.
        id = hashlib.sha256(image.content).hexdigest()
        medium = Medium(id, image.type, image.width, image.height, image.blurhash, alt)
        await self._record(Upload(owner, medium, self._clock_ms()))
        await self.store.put(thumbnail_name(id), image.thumbnail)
        await self.store.put(id, image.content)
        return medium

    async def offer_again(self, owner: int, media: Collection[Medium]) -> None:
        """Have the owner's images last another day, although what shows them is about to go, so
        that a post that takes its place can show them. Where that fails, they go with it.
        """
        for medium in media:
            with suppress(MediaUnavailable, TooManyUploads):
                await self._record(Upload(owner, medium, self._clock_ms()))

    async def _record(self, upload: Upload) -> None:
        """Before the files are stored: a file that no record knows would stay for ever."""
        for _ in range(_REMOVAL_TRIES):
            if await self._records.add_upload(upload, MOST_UNSHOWN):
                return
            await asyncio.sleep(0.1)
        raise MediaUnavailable("the same image is just being removed")

    async def change_alt(self, owner: int, id: str, alt: str) -> Medium | None:
        """An upload with another alternative text; None where the owner has no such upload."""
        alt = _checked_alt(alt)
        found = await self._records.find_uploads(owner, (id,), self._clock_ms() - UNSHOWN_MS)
        if not found:
            return None
        changed = found[0]._replace(medium=replace(found[0].medium, alt=alt))
        await self._record(changed)
        return changed.medium


def _checked_alt(alt: str) -> str:
    normal = text.normalise_bounded(alt, MAX_ALT_LENGTH)
    if len(normal) > MAX_ALT_LENGTH:
        raise ImageRefused(
            "alt-too-long",
            f"the alternative text has {len(normal):,} characters; shorten it to {MAX_ALT_LENGTH}",
        )
    if text.has_control_characters(normal):
        raise ImageRefused(
            "alt-invalid", "the alternative text holds control characters; take them out"
        )
    return normal
