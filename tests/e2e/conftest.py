"""Fixtures of the tests that speak HTTP, and of those that work on data folders."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from infra.command_side import open_log
from infra.settings import Settings
from tests.e2e.world import World
from tests.rebuilding import SETTLED, copied, projected
from tests.rebuilding import world as logged


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def stranger(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with world.client() as client:
        yield client


@pytest.fixture(scope="session")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A log of `SETTLED` events with the views of it. Nobody writes there."""
    settings = logged(tmp_path_factory.mktemp("settled") / "data", SETTLED)
    with open_log(settings) as log:
        asyncio.run(projected(settings, log))
    return settings


@pytest.fixture
def data(settled: Settings, tmp_path: Path) -> Settings:
    """A copy of it to work on."""
    return copied(settled, tmp_path / "data")
