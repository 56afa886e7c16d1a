"""The log that the settings name."""

from pathlib import Path

import pytest

from infra.log_of_record import open_log
from infra.settings import InvalidSetting, Settings


@pytest.mark.parametrize("address", ["esdb://", "esdb://host:99999", "esdb://host?colour=red"])
def test_the_address_of_a_log_that_cannot_be_meant_is_refused(tmp_path: Path, address: str) -> None:
    elsewhere = Settings(data=tmp_path, log=address)
    with pytest.raises(InvalidSetting, match="STARLING_LOG"), open_log(elsewhere):
        pass
