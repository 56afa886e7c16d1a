"""Processes that begin on an empty data folder at the same moment don't fail one another."""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Coroutine
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from infra.embedded.projector import open_projector_when_free
from infra.log_of_record import (
    log_is_missing,
    open_log,
    open_log_for_questions,
    open_text_reader,
)
from infra.profile import WorkerSignals
from infra.settings import Settings
from infra.wiring.api_ports import open_api_ports
from infra.wiring.signing_secret import signing_secret
from infra.wiring.write_side import open_write_side
from tests.support.soak import WHOLE, seeds

pytestmark = [
    pytest.mark.skipif(not WHOLE, reason="rare races: `make soak` looks for them"),
    pytest.mark.timeout(1200),
]

SECONDS = 1.0
"""How long each of them is at work."""


async def serve(settings: Settings) -> str:
    async with open_api_ports(settings) as ports:
        await asyncio.sleep(SECONDS)
        return f"{ports.log.identity} {signing_secret(settings).hex()}"


async def import_events(settings: Settings) -> str:
    with open_write_side(settings) as side:
        side.new_id()
        return f"{side.log.identity} {signing_secret(settings).hex()}"


async def project(settings: Settings) -> str:
    settings.make_data_folder()
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(SECONDS, stop.set)
    with open_log(settings) as log:
        signals = WorkerSignals(stop, lambda: None)
        async with open_projector_when_free(settings, log, signals) as projector:
            if projector is not None:
                await projector.run(stop)
        return f"{log.identity} {signing_secret(settings).hex()}"


async def replay(settings: Settings) -> str:
    end = time.monotonic() + SECONDS
    identity = ""
    while time.monotonic() < end or not identity:
        if log_is_missing(settings):
            continue
        with open_log_for_questions(settings) as log, open_text_reader(settings, log):
            log.read_all()
            identity = log.identity
    return f"{identity} {signing_secret(settings).hex()}"


ROLES = (serve, serve, project, import_events, replay)


def begin(
    role: Callable[[Settings], Coroutine[Any, Any, str]], settings: Settings, together: Barrier
) -> str:
    together.wait()
    return asyncio.run(role(settings))


def test_processes_that_begin_together_all_do(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with context.Manager() as manager, context.Pool(len(ROLES)) as pool:
        for number in seeds(0, 40):
            settings = Settings(data=tmp_path / str(number))
            together = manager.Barrier(len(ROLES))
            begun = [pool.apply_async(begin, (role, settings, together)) for role in ROLES]
            assert len({one.get(120) for one in begun}) == 1
