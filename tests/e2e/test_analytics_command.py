"""`starling analytics` as a process."""

import json
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.support.data_folders import create_data_folder
from tests.support.starling_program import starling

MONTH = ("--from", "2023-11-01", "--to", "2023-12-31", "--per", "month")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = create_data_folder(tmp_path_factory.mktemp("analytics") / "data", 500)
    assert starling("projections", "rebuild", "analytics", "--data", settings.data).returncode == 0
    return settings


def test_figures_are_tables_for_people_and_lines_of_json_for_programs(data: Settings) -> None:
    done = starling("analytics", "active-users", *MONTH, "--json", "--data", data.data)
    assert (done.returncode, done.stderr) == (0, b"")
    months = [json.loads(line) for line in done.stdout.splitlines()]
    assert [month["since"] for month in months] == ["2023-11-01", "2023-12-01"]
    assert months[0]["active"] > 0
    table = starling("analytics", "active-users", *MONTH, "--data", data.data)
    assert str(months[0]["active"]).encode() in table.stdout


def test_what_is_missing_or_wrong_is_said(data: Settings, tmp_path: Path) -> None:
    for arguments in (("growth",), ("hashtags",), ("active-users", "--zone", "Nowhere")):
        done = starling("analytics", *arguments, "--data", data.data)
        assert done.returncode in (1, 2)
        assert done.stdout == b""
        assert b"--user" in done.stderr or b"--tag" in done.stderr or b"zone" in done.stderr
