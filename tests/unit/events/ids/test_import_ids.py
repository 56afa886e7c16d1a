"""Ids at given times: unique in any order, and over restarts against what a log holds."""

import random

import pytest

from events.ids.import_ids import ImportIdGenerator
from events.ids.snowflake import (
    EPOCH_MS,
    IDS_PER_MS,
    MachineIdLost,
    OutOfLayout,
    compose_id,
    decode_id,
)

MS = 1300000000000


class Log:
    """The ids that a log holds, under a unique index."""

    def __init__(self) -> None:
        self.ids: set[int] = set()
        self.asked = 0

    def append(self, snowflake: int) -> None:
        assert snowflake not in self.ids, "the unique index would refuse this"
        self.ids.add(snowflake)

    def ids_between(self, first: int, last: int) -> list[int]:
        """The ids that a generator looks up."""
        self.asked += 1
        return sorted(each for each in self.ids if first <= each <= last)


def test_an_id_carries_the_time_that_was_given_and_an_import_machine() -> None:
    ids = ImportIdGenerator([1008], Log().ids_between)
    assert decode_id(ids.id_at(MS)) == (MS, 1008, 0)
    assert decode_id(ids.id_at(MS - 86_400_000)) == (MS - 86_400_000, 1008, 0)
    assert decode_id(ids.id_at(MS)) == (MS, 1008, 1)


def test_ids_of_one_time_increase_through_all_machines_and_then_into_the_next_millisecond() -> None:
    ids = ImportIdGenerator([1009, 1008], Log().ids_between)
    made = [ids.id_at(MS) for _ in range(2 * IDS_PER_MS + 1)]
    assert made == sorted(set(made))
    assert decode_id(made[IDS_PER_MS]) == (MS, 1009, 0)
    assert decode_id(made[-1]) == (MS + 1, 1008, 0)
    assert decode_id(ids.id_at(MS + 1)) == (MS + 1, 1008, 1)


def test_a_time_asked_for_without_end_is_still_found_room_for_without_walking_through_all() -> None:
    log = Log()
    ids = ImportIdGenerator([1008], log.ids_between)
    made = {ids.id_at(MS) for _ in range(20 * IDS_PER_MS)}
    assert len(made) == 20 * IDS_PER_MS
    assert log.asked == 20, "each millisecond is looked up once"


def test_a_restart_goes_on_after_what_the_log_holds() -> None:
    log = Log()
    for _ in range(3):
        ids = ImportIdGenerator([1008], log.ids_between)
        for _ in range(2):
            log.append(ids.id_at(MS))
    assert log.ids == {compose_id(MS, 1008, n) for n in range(6)}


def test_runs_with_changing_machines_never_make_an_id_that_the_log_holds() -> None:
    chance = random.Random(7)
    log = Log()
    for machines in ([1008], [1008, 1009], [1009], [1023, 1008], [1008, 1009, 1023]):
        ids = ImportIdGenerator(machines, log.ids_between)
        for _ in range(600):
            log.append(ids.id_at(MS + chance.randrange(3)))
    assert len(log.ids) == 5 * 600


def test_a_full_millisecond_in_the_log_is_stepped_over() -> None:
    log = Log()
    log.append(compose_id(MS, 1008, IDS_PER_MS - 1))
    log.append(compose_id(MS + 1, 1008, IDS_PER_MS - 1))
    assert decode_id(ImportIdGenerator([1008], log.ids_between).id_at(MS)) == (MS + 2, 1008, 0)


def test_an_unavailable_log_makes_no_id() -> None:
    answers: list[list[int]] = [[]]

    def ids_between(first: int, last: int) -> list[int]:
        if not answers:
            raise ConnectionError("the log is away")
        return answers.pop()

    ids = ImportIdGenerator([1008], ids_between)
    ids.id_at(MS)
    with pytest.raises(ConnectionError):
        ids.id_at(MS + 1)
    with pytest.raises(ConnectionError):
        ids.id_at(MS + 1)
    assert decode_id(ids.id_at(MS)) == (MS, 1008, 1)


def test_a_time_before_the_layout_begins_is_refused() -> None:
    with pytest.raises(OutOfLayout, match="the given time"):
        ImportIdGenerator([1008], Log().ids_between).id_at(EPOCH_MS - 1)


@pytest.mark.parametrize("machines", [[], [1007], [1008, 5], [1024]])
def test_machine_ids_outside_the_import_block_are_refused(machines: list[int]) -> None:
    with pytest.raises(OutOfLayout, match="1008-1023"):
        ImportIdGenerator(machines, Log().ids_between)


def test_without_the_lease_no_id_is_made() -> None:
    held = True
    ids = ImportIdGenerator([1008], Log().ids_between, lambda: held)
    ids.id_at(MS)
    held = False
    with pytest.raises(MachineIdLost, match="start the import again"):
        ids.id_at(MS)
