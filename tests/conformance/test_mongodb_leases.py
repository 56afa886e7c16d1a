"""The MongoDB store of machine-id leases."""

import pytest

from infra.dev.mongodb_server import MongoServer
from infra.ids.machine_lease import LeaseStoreUnavailable
from infra.mongodb.leases import MongoLeases
from tests.conformance.lease_store_suite import (
    NOW,
    NOW_PLUS_LEASE,
    LeaseStoreConformance,
    OpenStore,
)
from tests.support.engines.mongodb_views import fresh_address

pytestmark = pytest.mark.engines


class TestMongoLeases(LeaseStoreConformance):
    @pytest.fixture
    def open_store(self, mongodb: MongoServer) -> OpenStore:
        address = fresh_address(mongodb)
        return lambda: MongoLeases(address, timeout_seconds=20)


def test_a_server_that_hangs_is_a_store_that_is_down(mongodb: MongoServer) -> None:
    store = MongoLeases(fresh_address(mongodb), timeout_seconds=0.5)
    mongodb.freeze()
    try:
        with pytest.raises(LeaseStoreUnavailable):
            store.grant_lease(range(1), "me", NOW, NOW_PLUS_LEASE)
    finally:
        mongodb.thaw()
