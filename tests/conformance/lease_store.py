"""What every store of machine-id leases does; an adapter subclasses LeaseStoreConformance."""

import threading
from collections.abc import Callable

import pytest

from infra.leases.lease import Grant, LeaseLost, LeaseStore, NoFreeMachine

NOW = 1700000000000
LATER = NOW + 30_000

OpenStore = Callable[[], LeaseStore]


class LeaseStoreConformance:
    """Override the fixture `open_store`: each call opens one and the same store once more."""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        raise NotImplementedError

    def test_holders_get_different_machine_ids_and_growing_tokens(
        self, open_store: OpenStore
    ) -> None:
        grants = [open_store().take(range(5, 8), "me", NOW, LATER) for _ in range(3)]
        assert [grant.machine for grant in grants] == [5, 6, 7]
        assert grants[0].token < grants[1].token < grants[2].token

    def test_blocks_are_granted_apart(self, open_store: OpenStore) -> None:
        store = open_store()
        assert store.take(range(3), "me", NOW, LATER).machine == 0
        assert store.take(range(1008, 1024), "me", NOW, LATER).machine == 1008
        assert store.take(range(3), "me", NOW, LATER).machine == 1

    def test_a_block_that_is_all_held_is_refused(self, open_store: OpenStore) -> None:
        open_store().take(range(4, 5), "me", NOW, LATER)
        with pytest.raises(NoFreeMachine, match="4-4 are all held"):
            open_store().take(range(4, 5), "you", LATER - 1, LATER + 30_000)

    def test_an_expired_machine_id_goes_to_the_next_with_a_greater_token(
        self, open_store: OpenStore
    ) -> None:
        first = open_store().take(range(1), "me", NOW, LATER)
        second = open_store().take(range(1), "you", LATER, LATER + 30_000)
        assert second.machine == first.machine
        assert second.token > first.token

    def test_the_token_grows_also_when_the_newest_grant_is_the_one_replaced(
        self, open_store: OpenStore
    ) -> None:
        store = open_store()
        tokens = []
        for turn in range(4):
            grant = store.take(range(2), "me", NOW + turn, NOW + turn + 1)
            tokens.append(grant.token)
        assert tokens == sorted(set(tokens))

    def test_an_extended_machine_id_is_held_for_longer(self, open_store: OpenStore) -> None:
        store = open_store()
        store.extend(store.take(range(1), "me", NOW, LATER), LATER + 500)
        with pytest.raises(NoFreeMachine):
            open_store().take(range(1), "you", LATER + 499, LATER + 999)
        assert open_store().take(range(1), "you", LATER + 500, LATER + 999).machine == 0

    def test_extending_never_shortens(self, open_store: OpenStore) -> None:
        store = open_store()
        store.extend(store.take(range(1), "me", NOW, LATER), NOW + 1)
        with pytest.raises(NoFreeMachine):
            open_store().take(range(1), "you", LATER - 1, LATER)

    def test_an_expired_grant_that_nobody_took_can_be_extended(self, open_store: OpenStore) -> None:
        store = open_store()
        store.extend(store.take(range(1), "me", NOW, LATER), LATER + 90_000)
        with pytest.raises(NoFreeMachine):
            open_store().take(range(1), "you", LATER + 60_000, LATER + 90_000)

    def test_a_superseded_grant_can_neither_be_extended_nor_given_back(
        self, open_store: OpenStore
    ) -> None:
        store = open_store()
        old = store.take(range(1), "me", NOW, LATER)
        open_store().take(range(1), "you", LATER, LATER + 30_000)
        with pytest.raises(LeaseLost, match="acquire a new one"):
            store.extend(old, LATER + 60_000)
        store.give_back(old, NOW)
        with pytest.raises(NoFreeMachine):
            open_store().take(range(1), "third", LATER + 1, LATER + 2)

    def test_a_machine_id_that_was_given_back_is_free_from_the_time_given(
        self, open_store: OpenStore
    ) -> None:
        store = open_store()
        store.give_back(store.take(range(1), "me", NOW, LATER), NOW + 10)
        with pytest.raises(NoFreeMachine):
            open_store().take(range(1), "you", NOW + 9, LATER)
        assert open_store().take(range(1), "you", NOW + 10, LATER).machine == 0

    def test_giving_back_never_lengthens(self, open_store: OpenStore) -> None:
        store = open_store()
        store.give_back(store.take(range(1), "me", NOW, LATER), LATER + 30_000)
        assert open_store().take(range(1), "you", LATER, LATER + 1).machine == 0

    def test_many_takers_at_once_get_a_machine_id_each(self, open_store: OpenStore) -> None:
        takers = 8
        together = threading.Barrier(takers)
        granted: list[Grant] = []

        def take() -> None:
            store = open_store()
            together.wait()
            granted.append(store.take(range(takers), "me", NOW, LATER))

        threads = [threading.Thread(target=take) for _ in range(takers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(grant.machine for grant in granted) == list(range(takers))
        assert len({grant.token for grant in granted}) == takers
