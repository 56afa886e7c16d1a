"""ZIP archives that are made while they are sent, so that none is ever whole in memory."""

import io
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

ZIP: Final = "application/zip"
"""The media type of ZIP archives."""

_OWNER_ONLY: Final = 0o600 << 16
"""The permissions of a file, where ZIP archives keep them."""


class ZippedFile(NamedTuple):
    """A file of an archive; its content is asked for when its turn comes."""

    name: str
    chunks: AsyncGenerator[bytes, None]
    compress: bool = True


class _UnsentBytes(io.RawIOBase):
    """What the archive's writer wrote and the connection did not take yet. It can't seek, so the
    writer puts sizes behind files and never comes back to what was sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        """As files are."""
        return True

    def write(self, chunk: Any) -> int:
        """Keep the bytes until `take_unsent`."""
        self._chunks.append(bytes(chunk))
        return len(chunk)

    def take_unsent(self) -> bytes:
        """What was written since the last call."""
        taken, self._chunks = b"".join(self._chunks), []
        return taken


async def zip_chunks(
    files: AsyncGenerator[ZippedFile, None], made_ms: int
) -> AsyncGenerator[bytes, None]:
    """The bytes of an archive with these files, which show the time `made_ms` (Unix ms, UTC).

    The list of contents, without which no program opens an archive, comes last. So where a file
    raises, what was sent until then is no archive, and can't be taken for a whole one.
    """
    unsent = _UnsentBytes()
    made = time.gmtime(made_ms // 1000)[:6]
    # Where a file raises, this ends the list of contents, too, but nothing of that is sent.
    with ZipFile(unsent, "w") as archive:
        async with aclosing(files):
            async for file in files:
                entry = ZipInfo(file.name, made)
                entry.compress_type = ZIP_DEFLATED if file.compress else ZIP_STORED
                entry.external_attr = _OWNER_ONLY
                # How large it gets is not known yet.
                with archive.open(entry, "w", force_zip64=True) as member:
                    async with aclosing(file.chunks) as chunks:
                        async for chunk in chunks:
                            member.write(chunk)
                            if ready := unsent.take_unsent():
                                yield ready
    yield unsent.take_unsent()
