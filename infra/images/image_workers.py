"""Converts images in a few processes, so that one which is made to hurt hurts nothing but its own.

A process that takes too long is killed, one that died is replaced at the next image, and both count
as the image's fault. Those that wait are bounded, too: beyond, `ImagesBusy`. Processes start when
they are first needed, which takes a tenth of a second.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

from api.media.errors import ImageRefused, ImagesBusy
from api.media.media_store import ConvertedImage
from infra.images.image_worker import LENGTH_BYTES, Converted, Refused
from infra.process.child import python_command

WORKERS: Final = 2
WAITING_FOR_EACH: Final = 8
SECONDS: Final = 10.0
"""For an image. The slowest that is taken needs three."""

_logger = logging.getLogger(__name__)
_decode: Final = msgspec.msgpack.Decoder(Converted | Refused).decode


class ImageWorkers:
    """An `api.media.media_store.ImageConverter`. `aclose` it."""

    def __init__(self, workers: int = WORKERS, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._room = workers * (1 + WAITING_FOR_EACH)
        self._turns = asyncio.Semaphore(workers)
        self._idle: list[asyncio.subprocess.Process] = []
        self._all: set[asyncio.subprocess.Process] = set()

    async def convert(self, content: bytes) -> ConvertedImage:
        """The image in these bytes. Raises `ImageRefused`, `ImagesBusy`."""
        if not self._room:
            raise ImagesBusy("too many images are sent at the moment: try again in some seconds")
        self._room -= 1
        try:
            async with self._turns, self._worker() as worker:
                answer = await self._ask(worker, content)
        finally:
            self._room += 1
        if isinstance(answer, Refused):
            raise ImageRefused(answer.code, answer.message)
        return answer.image

    async def aclose(self) -> None:
        """End the processes."""
        for worker in list(self._all):
            await self._kill(worker)

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """A process for the block. It is used again, unless the block was left by an error."""
        alive = [worker for worker in self._idle if worker.returncode is None]
        self._idle = alive
        worker = alive.pop() if alive else await self._start()
        try:
            yield worker
        except BaseException:
            await self._kill(worker)
            raise
        self._idle.append(worker)

    async def _start(self) -> asyncio.subprocess.Process:
        self._all = {worker for worker in self._all if worker.returncode is None}
        starting = asyncio.create_task(_start_process())
        try:
            # Cancelled in the middle, it might wait for ever for pipes that it never opened.
            worker = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_end_process)
            raise
        except OSError as error:
            raise ImagesBusy(f"no image can be looked at now: {error}") from error
        self._all.add(worker)
        return worker

    async def _ask(self, worker: asyncio.subprocess.Process, content: bytes) -> Converted | Refused:
        try:
            async with asyncio.timeout(self._seconds):
                return await _exchange(worker, content)
        except TimeoutError:
            _logger.warning("an image of %d bytes took too long to look at", len(content))
            raise ImageRefused(
                "image-too-costly", "this image takes too long to decode: save it anew, smaller"
            ) from None
        except (OSError, asyncio.IncompleteReadError):
            status = await worker.wait()
            _logger.warning("an image of %d bytes ended its process: %d", len(content), status)
            raise ImageRefused(
                "image-too-costly", "this image can't be decoded here: save it anew, smaller"
            ) from None

    async def _kill(self, worker: asyncio.subprocess.Process) -> None:
        self._all.discard(worker)
        with suppress(ProcessLookupError):
            worker.kill()
        if worker.stdout is not None:
            # What it wrote has to be read, or asyncio doesn't notice that it ended. A
            # coroutine that waits for its answer reads it, too.
            with suppress(RuntimeError):
                await worker.stdout.read()
        await worker.wait()


async def _start_process() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *python_command("-m", "infra.images.image_worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={},  # what decodes anything that is sent should know no secret
        start_new_session=True,  # Ctrl-C is for the process that ends it
    )


def _end_process(started: asyncio.Task[asyncio.subprocess.Process]) -> None:
    if not started.cancelled() and started.exception() is None:
        started.result().kill()


async def _exchange(worker: asyncio.subprocess.Process, content: bytes) -> Converted | Refused:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(len(content).to_bytes(LENGTH_BYTES, "big"))
    worker.stdin.write(content)
    await worker.stdin.drain()
    size = int.from_bytes(await worker.stdout.readexactly(LENGTH_BYTES), "big")
    answer: Converted | Refused = _decode(await worker.stdout.readexactly(size))
    return answer
