"""Fixtures of the tests that speak HTTP."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.e2e.world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def stranger(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with world.client() as client:
        yield client
