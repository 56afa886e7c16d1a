"""What trended when real tweets are posted at the times in their ids: what a person would expect.

Bushfires broke out around Sydney on 17 October 2013, in the afternoon there (UTC + 11). A meteor
broke up over Chelyabinsk on 15 February 2013 at 03:20 UTC.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from events.times import parse_time
from infra.log_of_record import open_log
from infra.settings import Settings
from projections.trending import find_trends
from tests.real import crisislex_tweets
from tests.support.fresh_projection import fresh_views
from tests.support.requirements import skip_or_fail
from tests.support.starling_program import starling

AUSTRALIA = "2013_Australia_bushfire-tweets_labeled.csv"
RUSSIA = "2013_Russia_meteor-tweets_labeled.csv"
BEST = 5

Tops = Mapping[str, list[str]]
"""The tags that trended at a time, the first first."""


@pytest.fixture(scope="module")
def import_and_read_trends(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, list[str]], Tops]:
    """Imports a file of tweets by the program, and tells what trended when."""

    def at(name: str, times: list[str]) -> Tops:
        path, folder = shared_data / "tweets" / name, tmp_path_factory.mktemp("tweets")
        if not path.is_file():
            skip_or_fail(f"the tweets {path}")
        lines = b"".join(
            json.dumps(line).encode() + b"\n" for line in crisislex_tweets.commands(path)
        )
        done = starling("import", "-", "--data", folder / "data", stdin=lines)
        assert (done.returncode, done.stderr) == (0, b"")
        return asyncio.run(_tops(folder, times))

    return at


async def _tops(folder: Path, times: list[str]) -> Tops:
    with open_log(Settings(data=folder / "data")) as log:
        async with fresh_views(log, folder) as views:
            found: dict[str, Any] = {
                time: await find_trends(views["trending"], parse_time(time), BEST) for time in times
            }
    return {time: [trend.tag for trend in best] for time, best in found.items()}


def test_the_bushfires_of_new_south_wales_trend_on_the_day_they_broke_out(
    import_and_read_trends: Callable[[str, list[str]], Tops],
) -> None:
    day_before, early, late = "2013-10-16T08:00:00Z", "2013-10-17T06:00:00Z", "2013-10-17T08:00:00Z"
    tops = import_and_read_trends(AUSTRALIA, [day_before, early, late])
    assert tops[day_before] == []
    assert tops[early] == ["nswfires", "nswrfs", "bushfires", "bushfire", "sydney"]
    assert tops[late] == ["nswfires", "sydney", "bushfires", "sydneyfires", "nswrfs"]


def test_the_meteor_of_chelyabinsk_trends_in_russian_first_and_then_everywhere(
    import_and_read_trends: Callable[[str, list[str]], Tops],
) -> None:
    day_before, morning, noon = (
        "2013-02-14T12:00:00Z",
        "2013-02-15T08:00:00Z",
        "2013-02-15T14:00:00Z",
    )
    tops = import_and_read_trends(RUSSIA, [day_before, morning, noon])
    assert tops[day_before] == []
    assert tops[morning] == ["метеорит", "челябинск", "russianmeteor", "meteor", "chelyabinsk"]
    assert tops[noon] == ["russianmeteor", "метеорит", "meteor", "челябинск"]
