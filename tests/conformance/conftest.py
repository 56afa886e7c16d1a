"""Every adapter in turn, for the suites that all must pass."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from projections.store import ReadStore
from tests.support.store_adapters import STORE_PARAMETERS, StoreAdapter, adapter_with_server


@pytest.fixture(params=STORE_PARAMETERS)
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> StoreAdapter:
    return adapter_with_server(request, tmp_path)


@pytest.fixture
async def store(adapter: StoreAdapter, tmp_path: Path) -> AsyncIterator[ReadStore]:
    opened = await adapter.open(tmp_path)
    yield opened
    await opened.close()
