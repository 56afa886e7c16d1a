"""Media in a folder: `ab/cd/<name>`, by the first digits of the name: no folder gets long."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from api.media.errors import MediaUnavailable
from infra.files.atomic_write import flush_to_disk, write_atomically

T = TypeVar("T")


class MediaFolder:
    """An `api.media.media_store.MediaStore`; several processes may use one folder."""

    def __init__(self, folder: Path) -> None:
        """The folder is made when the first file comes."""
        self._folder = folder

    async def put(self, name: str, content: bytes) -> None:
        await self._in_thread(lambda: self._write(self.path_of(name), content))

    async def read(self, name: str) -> bytes | None:
        def read_or_none() -> bytes | None:
            with suppress(FileNotFoundError):
                return self.path_of(name).read_bytes()
            return None

        return await self._in_thread(read_or_none)

    async def delete(self, names: Collection[str]) -> None:
        def unlink_all() -> None:
            for name in names:
                self.path_of(name).unlink(missing_ok=True)

        await self._in_thread(unlink_all)

    def path_of(self, name: str) -> Path:
        """Where a file lies, if it is there."""
        return self._folder / name[:2] / name[2:4] / name

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, content, durable=True)
        # The file's name is on the disk once its folder is, and each new folder's in its own.
        for folder in (path.parent, path.parent.parent, self._folder):
            flush_to_disk(folder)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise MediaUnavailable(f"{self._folder}: {error.strerror or error}") from error
