"""What every store of machine-id leases does; an adapter subclasses LeaseStoreConformance."""

import threading
from collections.abc import Callable

import pytest

from infra.ids.machine_lease import LeaseGrant, LeaseLost, LeaseStore, NoFreeMachine

NOW = 1700000000000
NOW_PLUS_LEASE = NOW + 30_000

OpenStore = Callable[[], LeaseStore]


class LeaseStoreConformance:
    """Override the fixture `open_store`: each call opens one and the same store once more."""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        raise NotImplementedError

    def test_holders_get_different_machine_ids_and_growing_tokens(
        self, open_store: OpenStore
    ) -> None:
        grants = [
            open_store().grant_lease(range(5, 8), "me", NOW, NOW_PLUS_LEASE) for _ in range(3)
        ]
        assert [grant.machine_id for grant in grants] == [5, 6, 7]
        assert grants[0].fencing_token < grants[1].fencing_token < grants[2].fencing_token

    def test_blocks_are_granted_apart(self, open_store: OpenStore) -> None:
        store = open_store()
        assert store.grant_lease(range(3), "me", NOW, NOW_PLUS_LEASE).machine_id == 0
        assert store.grant_lease(range(1008, 1024), "me", NOW, NOW_PLUS_LEASE).machine_id == 1008
        assert store.grant_lease(range(3), "me", NOW, NOW_PLUS_LEASE).machine_id == 1

    def test_a_block_that_is_all_held_is_refused(self, open_store: OpenStore) -> None:
        open_store().grant_lease(range(4, 5), "me", NOW, NOW_PLUS_LEASE)
        with pytest.raises(NoFreeMachine, match="4-4 are all held"):
            open_store().grant_lease(
                range(4, 5), "you", NOW_PLUS_LEASE - 1, NOW_PLUS_LEASE + 30_000
            )

    def test_an_expired_machine_id_goes_to_the_next_with_a_greater_token(
        self, open_store: OpenStore
    ) -> None:
        first = open_store().grant_lease(range(1), "me", NOW, NOW_PLUS_LEASE)
        second = open_store().grant_lease(range(1), "you", NOW_PLUS_LEASE, NOW_PLUS_LEASE + 30_000)
        assert second.machine_id == first.machine_id
        assert second.fencing_token > first.fencing_token

    def test_the_token_grows_also_when_the_newest_grant_is_the_one_replaced(
        self, open_store: OpenStore
    ) -> None:
        store = open_store()
        tokens = []
        for turn in range(4):
            grant = store.grant_lease(range(2), "me", NOW + turn, NOW + turn + 1)
            tokens.append(grant.fencing_token)
        assert tokens == sorted(set(tokens))

    def test_an_extended_machine_id_is_held_for_longer(self, open_store: OpenStore) -> None:
        store = open_store()
        store.extend_lease(
            store.grant_lease(range(1), "me", NOW, NOW_PLUS_LEASE), NOW_PLUS_LEASE + 500
        )
        with pytest.raises(NoFreeMachine):
            open_store().grant_lease(range(1), "you", NOW_PLUS_LEASE + 499, NOW_PLUS_LEASE + 999)
        assert (
            open_store()
            .grant_lease(range(1), "you", NOW_PLUS_LEASE + 500, NOW_PLUS_LEASE + 999)
            .machine_id
            == 0
        )

    def test_extending_never_shortens(self, open_store: OpenStore) -> None:
        store = open_store()
        store.extend_lease(store.grant_lease(range(1), "me", NOW, NOW_PLUS_LEASE), NOW + 1)
        with pytest.raises(NoFreeMachine):
            open_store().grant_lease(range(1), "you", NOW_PLUS_LEASE - 1, NOW_PLUS_LEASE)

    def test_an_expired_grant_that_was_not_granted_again_can_be_extended(
        self, open_store: OpenStore
    ) -> None:
        store = open_store()
        store.extend_lease(
            store.grant_lease(range(1), "me", NOW, NOW_PLUS_LEASE), NOW_PLUS_LEASE + 90_000
        )
        with pytest.raises(NoFreeMachine):
            open_store().grant_lease(
                range(1), "you", NOW_PLUS_LEASE + 60_000, NOW_PLUS_LEASE + 90_000
            )

    def test_a_superseded_grant_can_neither_be_extended_nor_released(
        self, open_store: OpenStore
    ) -> None:
        store = open_store()
        old = store.grant_lease(range(1), "me", NOW, NOW_PLUS_LEASE)
        open_store().grant_lease(range(1), "you", NOW_PLUS_LEASE, NOW_PLUS_LEASE + 30_000)
        with pytest.raises(LeaseLost, match="acquire a new one"):
            store.extend_lease(old, NOW_PLUS_LEASE + 60_000)
        store.end_lease(old, NOW)
        with pytest.raises(NoFreeMachine):
            open_store().grant_lease(range(1), "third", NOW_PLUS_LEASE + 1, NOW_PLUS_LEASE + 2)

    def test_a_released_machine_id_is_free_from_the_time_given(self, open_store: OpenStore) -> None:
        store = open_store()
        store.end_lease(store.grant_lease(range(1), "me", NOW, NOW_PLUS_LEASE), NOW + 10)
        with pytest.raises(NoFreeMachine):
            open_store().grant_lease(range(1), "you", NOW + 9, NOW_PLUS_LEASE)
        assert open_store().grant_lease(range(1), "you", NOW + 10, NOW_PLUS_LEASE).machine_id == 0

    def test_releasing_never_lengthens(self, open_store: OpenStore) -> None:
        store = open_store()
        store.end_lease(
            store.grant_lease(range(1), "me", NOW, NOW_PLUS_LEASE), NOW_PLUS_LEASE + 30_000
        )
        assert (
            open_store().grant_lease(range(1), "you", NOW_PLUS_LEASE, NOW_PLUS_LEASE + 1).machine_id
            == 0
        )

    def test_many_takers_at_once_get_a_machine_id_each(self, open_store: OpenStore) -> None:
        takers = 8
        together = threading.Barrier(takers)
        granted: list[LeaseGrant] = []

        def take() -> None:
            store = open_store()
            together.wait()
            granted.append(store.grant_lease(range(takers), "me", NOW, NOW_PLUS_LEASE))

        threads = [threading.Thread(target=take) for _ in range(takers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(grant.machine_id for grant in granted) == list(range(takers))
        assert len({grant.fencing_token for grant in granted}) == takers
