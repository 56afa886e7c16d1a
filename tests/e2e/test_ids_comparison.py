"""`starling ids compare`: what it prints and draws."""

import json
from pathlib import Path

from tests.support.starling_program import starling


def test_three_ways_are_compared_while_servers_and_processes_are_killed(tmp_path: Path) -> None:
    png = tmp_path / "ids.png"
    done = starling("ids", "compare", "--clients", "2", "--seconds", "0.9", "--json", "--png", png)
    assert done.returncode == 0, done.stderr
    snowflake, tickets, by_server = json.loads(done.stdout)
    assert [one["way"] for one in (snowflake, tickets, by_server)] == [
        "snowflake", "tickets", "global",
    ]  # fmt: skip
    for one in (snowflake, tickets, by_server):
        assert one["ids"] > 5_000
        assert (one["unique"], one["increasing"]) == (True, True)
        assert one["p50_us"] <= one["p99_us"]
        assert sum(one["rate"]) > 0
    assert (snowflake["wasted"], snowflake["refused_seconds"]) == (0, 0.0)
    # The killed process had at least one block ahead.
    assert tickets["wasted"] >= 4096
    assert by_server["taken_away"] == "the id server"
    assert png.read_bytes().startswith(b"\x89PNG")
