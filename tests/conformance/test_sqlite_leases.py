"""The SQLite store of machine-id leases."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from infra.ids.machine_lease import LeaseStoreUnavailable
from infra.sqlite.leases import SqliteLeases
from tests.conformance.lease_store_suite import (
    NOW,
    NOW_PLUS_LEASE,
    LeaseStoreConformance,
    OpenStore,
)


class TestSqliteLeases(LeaseStoreConformance):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return lambda: SqliteLeases(tmp_path / "leases.sqlite")


def test_a_folder_that_is_not_there_is_a_store_that_is_down(tmp_path: Path) -> None:
    store = SqliteLeases(tmp_path / "absent" / "leases.sqlite")
    with pytest.raises(LeaseStoreUnavailable, match="absent"):
        store.grant_lease(range(1), "me", NOW, NOW_PLUS_LEASE)


def test_a_file_that_another_process_never_lets_go_is_a_store_that_is_down(tmp_path: Path) -> None:
    path = tmp_path / "leases.sqlite"
    store = SqliteLeases(path, lock_timeout_seconds=0.01)
    grant = store.grant_lease(range(1), "me", NOW, NOW_PLUS_LEASE)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LeaseStoreUnavailable, match="locked"):
            store.extend_lease(grant, NOW_PLUS_LEASE + 1)
    store.extend_lease(grant, NOW_PLUS_LEASE + 1)
