"""Every adapter in turn, for the suites that all must pass."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from projections.store import ReadStore
from tests.conformance.stores import PARAMETERS, Adapter, each_adapter


@pytest.fixture(params=PARAMETERS)
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Adapter:
    return each_adapter(request, tmp_path)


@pytest.fixture
async def store(adapter: Adapter, tmp_path: Path) -> AsyncIterator[ReadStore]:
    opened = await adapter.open(tmp_path)
    yield opened
    await opened.close()
