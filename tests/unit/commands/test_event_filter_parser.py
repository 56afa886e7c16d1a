"""Filters on events as people and clients write them."""

from typing import Any

import pytest

from commands.errors import InvalidInput, NotFound
from commands.event_filter_parser import checked_time, parse_filter
from commands.references import ReferenceResolver
from events.ids.snowflake import first_id_at
from tests.support.export_logs import WREN, sample_log

LOG = sample_log(60)
IDS = [event.id for event in LOG.read_all(limit=1000)]


def test_times_are_rfc_3339_or_ids_and_the_end_is_not_included() -> None:
    references = ReferenceResolver(LOG)
    day = parse_filter(references, since="2023-11-15T00:00:00Z", to="2023-11-16T00:00:00Z")
    assert day.first_id == first_id_at(1_700_006_400_000)
    assert day.before_id == first_id_at(1_700_092_800_000)
    exact = parse_filter(references, since=str(IDS[5]), to=str(IDS[9]), user=str(WREN))
    assert (exact.first_id, exact.before_id, exact.actor) == (IDS[5], IDS[9], WREN)


@pytest.mark.parametrize(
    "wrong",
    [{"after": "x"}, {"after": "-1"}, {"since": "yesterday"}, {"types": ["post"]}, {"user": "?"}],
)
def test_what_is_no_condition_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        parse_filter(ReferenceResolver(LOG), **wrong)


def test_a_user_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        parse_filter(ReferenceResolver(LOG), user="@missing")


def test_a_wrong_time_is_refused_with_a_code_and_what_to_write() -> None:
    with pytest.raises(InvalidInput, match="write 2024-05-01T12:00:00Z") as caught:
        checked_time("2023-02-29T00:00:00Z")
    assert caught.value.code == "time-invalid"
