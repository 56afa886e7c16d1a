"""The MongoDB store of machine-id leases."""

import pytest

from infra.engines.mongodb import MongoServer
from infra.leases.lease import LeaseStoreDown
from infra.leases.mongo import MongoLeases
from tests.conformance.lease_store import LATER, NOW, LeaseStoreConformance, OpenStore
from tests.engines.mongo_views import fresh

pytestmark = pytest.mark.engines


class TestMongoLeases(LeaseStoreConformance):
    @pytest.fixture
    def open_store(self, mongodb: MongoServer) -> OpenStore:
        address = fresh(mongodb)
        return lambda: MongoLeases(address, patience_seconds=20)


def test_a_server_that_hangs_is_a_store_that_is_down(mongodb: MongoServer) -> None:
    store = MongoLeases(fresh(mongodb), patience_seconds=0.5)
    mongodb.freeze()
    try:
        with pytest.raises(LeaseStoreDown):
            store.take(range(1), "me", NOW, LATER)
    finally:
        mongodb.thaw()
