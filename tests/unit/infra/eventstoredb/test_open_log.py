"""Opening a log in EventStoreDB where its package is, and where it can't be."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from events.log import LogUnavailable
from infra.eventstoredb import open_log
from infra.eventstoredb.address import BadAddress
from infra.eventstoredb.open_log import open_event_store_log


class Version(NamedTuple):
    major: int
    minor: int


@pytest.mark.parametrize(
    ("version", "said"), [((3, 13), "needs Python below 3.13; this is 3.13"), ((3, 12), "install")]
)
def test_a_missing_package_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: tuple[int, int], said: str
) -> None:
    monkeypatch.setattr(open_log, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "version_info", Version(*version))
    with pytest.raises(LogUnavailable, match=said) as refused:
        open_event_store_log("esdb://127.0.0.1:1", tmp_path / "ids")
    assert "\n" not in str(refused.value)


def test_an_address_that_cannot_be_meant_is_refused_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(BadAddress):
        open_event_store_log("esdb://a?colour=red", tmp_path / "ids")


def test_a_node_that_is_not_there_is_said_without_secrets(tmp_path: Path) -> None:
    pytest.importorskip("infra.eventstoredb.client_package")
    with pytest.raises(LogUnavailable) as refused:
        open_event_store_log("esdb://u:s3cret@127.0.0.1:1?defaultDeadline=100", tmp_path / "ids")
    assert "cannot connect to 127.0.0.1:1" in str(refused.value)
    assert "s3cret" not in str(refused.value)
