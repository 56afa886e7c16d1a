"""Images are converted in processes that may die."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing

import psutil
import pytest
from PIL import Image

from api.media.errors import ImageRefused, ImagesBusy
from infra.images.image_conversion import convert_image
from infra.images.image_worker import LENGTH_BYTES
from infra.images.image_workers import WAITING_FOR_EACH, ImageWorkers
from tests.support.media import encode, image_bytes
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.unit.infra.images.test_image_conversion import png_of


@pytest.fixture
async def workers() -> AsyncIterator[ImageWorkers]:
    async with aclosing(ImageWorkers(1)) as opened:
        yield opened


def children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if "infra.images.image_worker" in child.cmdline()
    ]


async def test_an_image_comes_back_as_it_is_converted_here(workers: ImageWorkers) -> None:
    for seed in (1, 2):
        assert await workers.convert(image_bytes(seed)) == convert_image(image_bytes(seed))
    with pytest.raises(ImageRefused) as caught:
        await workers.convert(b"<html>")
    assert caught.value.code == "image-invalid"
    [worker] = children()
    before = worker.memory_info().rss
    with pytest.raises(ImageRefused) as caught:
        await workers.convert(png_of(30_000, 30_000))
    assert caught.value.code == "image-too-large"
    assert worker.memory_info().rss - before < 4 << 20
    assert [child.pid for child in children()] == [worker.pid], "a refusal costs no process"


async def test_a_process_that_decodes_knows_no_secret_of_the_server(
    workers: ImageWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARLING_SECRET", "what signs all tokens")
    await workers.convert(image_bytes())
    [worker] = children()
    assert "STARLING_SECRET" not in worker.environ()
    assert worker.num_fds() <= 4


async def test_a_process_that_died_is_replaced(workers: ImageWorkers) -> None:
    await workers.convert(image_bytes())
    [first] = children()
    first.suspend()
    converting = asyncio.create_task(workers.convert(image_bytes()))
    await asyncio.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    with pytest.raises(ImageRefused) as caught:
        await converting
    assert caught.value.code == "image-too-costly"
    assert (await workers.convert(image_bytes())).type == "image/png"
    [second] = children()
    assert second.pid != first.pid


async def test_a_process_that_takes_too_long_is_killed(workers: ImageWorkers) -> None:
    await workers.convert(image_bytes())
    [first] = children()
    first.suspend()
    workers._seconds = 0.1
    with pytest.raises(ImageRefused, match="too long"):
        await workers.convert(image_bytes())
    assert children() == []


async def test_a_process_that_was_not_listened_to_is_ended_all_the_same(
    workers: ImageWorkers,
) -> None:
    noise = random.Random(1).randbytes(600 * 400 * 3)
    content = encode(Image.frombytes("RGB", (600, 400), noise), "PNG")
    worker = await workers._start()
    assert worker.stdin is not None
    worker.stdin.write(len(content).to_bytes(LENGTH_BYTES, "big") + content)
    await worker.stdin.drain()
    # It writes until nothing more is taken from it.
    await wait_until(lambda: len(getattr(worker.stdout, "_buffer", b"")) > 1 << 17)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await workers._kill(worker)
    assert children() == []


async def test_a_start_that_is_cancelled_leaves_no_process(workers: ImageWorkers) -> None:
    converting = asyncio.create_task(workers.convert(image_bytes()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    converting.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(converting, return_exceptions=True)
        assert (await workers.convert(image_bytes())).type == "image/png"
    await wait_until(lambda: len(children()) == 1)


async def test_those_that_wait_are_bounded(workers: ImageWorkers) -> None:
    await workers.convert(image_bytes())
    [worker] = children()
    worker.suspend()
    waiting = [
        asyncio.create_task(workers.convert(image_bytes())) for _ in range(1 + WAITING_FOR_EACH)
    ]
    await asyncio.sleep(0)
    with pytest.raises(ImagesBusy, match="try again"):
        await workers.convert(image_bytes())
    worker.resume()
    assert len({image.content for image in await asyncio.gather(*waiting)}) == 1
    assert (await workers.convert(image_bytes())).type == "image/png"


async def test_no_process_is_left(workers: ImageWorkers) -> None:
    await workers.convert(image_bytes())
    await workers.aclose()
    assert children() == []
