"""Fixtures of the tests that speak HTTP, and of those that work on data folders."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from infra.log_of_record import open_log
from infra.settings import Settings
from tests.support.api_world import ApiWorld
from tests.support.data_folders import (
    PROJECTED_EVENTS,
    copy_data_folder,
    create_data_folder,
    project_log,
)


@pytest.fixture
def world(request: pytest.FixtureRequest) -> ApiWorld:
    """The API with its fast path. Modules about what that answers run each test without it, too
    (`tests.support.api_world.WITH_AND_WITHOUT_FAST_PATH`)."""
    return ApiWorld(fast_path=getattr(request, "param", True))


@pytest.fixture
async def stranger(world: ApiWorld) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with world.new_client() as client:
        yield client


@pytest.fixture(scope="session")
def projected(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A log of `PROJECTED_EVENTS` events with the views of it. No test writes there."""
    settings = create_data_folder(tmp_path_factory.mktemp("projected") / "data", PROJECTED_EVENTS)
    with open_log(settings) as log:
        asyncio.run(project_log(settings, log))
    return settings


@pytest.fixture
def data(projected: Settings, tmp_path: Path) -> Settings:
    """A copy of it to work on."""
    return copy_data_folder(projected, tmp_path / "data")
