"""`starling analytics`: what is wrong usage, before any log is opened."""

import pytest
from click.testing import CliRunner

from infra.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("active-users --tag snow", "active-users takes no --tag"),
        ("retention --per month", "retention takes no --per"),
        ("reach --post 1 --from 2026-01-01", "reach takes no --from"),
        ("growth --user @ada --limit 3", "growth takes no --limit"),
        ("active-users --zone Nowhere", "no time zone"),
        ("active-users --from 2026-02-02 --to 2026-02-01", "2026-02-02 is after `to` 2026-02-01"),
        ("active-users --from 2020-01-01 --to 2026-01-01", "more than 100"),
    ],
)
def test_an_option_that_means_nothing_here_is_wrong_usage(arguments: str, said: str) -> None:
    done = CliRunner().invoke(main, ["analytics", *arguments.split()])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
