"""Every adapter in turn, for the suites that all must pass."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from projections.store import ReadStore
from tests.conformance.stores import ADAPTERS, Adapter


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    found: Adapter = request.param
    return found


@pytest.fixture
async def store(adapter: Adapter, tmp_path: Path) -> AsyncIterator[ReadStore]:
    opened = await adapter.open(tmp_path)
    yield opened
    await opened.close()
