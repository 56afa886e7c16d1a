"""How a process collects garbage."""

import gc
from collections.abc import Iterator

import pytest

from infra.process.memory import collect_no_garbage, freeze_started_program


@pytest.fixture
def garbage_collection() -> Iterator[None]:
    """Afterwards as it was."""
    thresholds = gc.get_threshold()
    yield
    gc.enable()
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("garbage_collection")
def test_an_api_process_collects_garbage_from_when_it_has_started() -> None:
    collect_no_garbage()
    assert not gc.isenabled()
    freeze_started_program()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
