"""`starling analytics` as a process."""

import asyncio
import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from api.clicks.click_log import Click
from events.codec import EVENT_CODEC
from events.event_types import EVENT_TYPES
from events.schema import PostCreated
from infra.log_of_record import open_log_for_questions
from infra.settings import Settings
from infra.sqlite.click_log import CLICKS_FILE, SqliteClickLog
from tests.support.data_folders import create_data_folder
from tests.support.starling_program import starling

VIEWS = ("analytics", "followers", "posts")
MONTH = ("--from", "2023-11-01", "--to", "2023-12-31", "--per", "month")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = create_data_folder(tmp_path_factory.mktemp("analytics") / "data", 500)
    assert starling("projections", "rebuild", *VIEWS, "--data", settings.data).returncode == 0
    return settings


def test_figures_are_tables_for_people_and_an_array_for_programs(data: Settings) -> None:
    done = starling("analytics", "active-users", *MONTH, "--json", "--data", data.data)
    assert (done.returncode, done.stderr) == (0, b"")
    months = json.loads(done.stdout)
    assert [month["since"] for month in months] == ["2023-11-01", "2023-12-01"]
    assert months[0]["active"] > 0
    table = starling("analytics", "active-users", *MONTH, "--data", data.data)
    assert str(months[0]["active"]).encode() in table.stdout
    plot = starling("analytics", "active-users", *MONTH, "--plot", "--data", data.data)
    assert "returning" in plot.stdout.decode()
    assert "█" in plot.stdout.decode()


def test_clicks_are_asked_without_a_server(data: Settings, tmp_path: Path) -> None:
    copy = shutil.copytree(data.data, tmp_path / "copy")
    ms = 1_700_000_000_000  # 2023-11-14
    click = Click(ms, ms, 1, None, 5, None, "click", None, None)
    view = click._replace(kind="view")

    async def append() -> None:
        with closing(SqliteClickLog(copy / CLICKS_FILE)) as log:
            await log.append_clicks([view, view, click, click._replace(kind="dwell", dwell_ms=70)])

    without_any = starling("analytics", "top-posts", *MONTH, "--json", "--data", copy)
    assert (without_any.returncode, without_any.stdout) == (0, b"[]\n")
    assert b"no click of these days names a post" in without_any.stderr
    asyncio.run(append())
    figures = {"views": 2, "clicks": 1, "click_through": 0.5, "dwells": 1, "mean_dwell_ms": 70}
    top = starling("analytics", "top-posts", *MONTH, "--json", "--data", copy)
    assert json.loads(top.stdout) == [{"id": "5"} | figures]
    asked = ("analytics", "click-through", "--post", "5", *MONTH, "--data", copy)
    november, december = json.loads(starling(*asked, "--json").stdout)
    assert november == {"since": "2023-11-01"} | figures
    assert december["click_through"] is None
    assert b"0.5" in starling(*asked).stdout
    with open_log_for_questions(Settings(data=copy)) as log:
        posts = log.read_all(types=[EVENT_TYPES[PostCreated][0]], limit=1)
        [post] = [EVENT_CODEC.decode_stored(one).event for one in posts]
    assert isinstance(post, PostCreated)
    reach = starling("analytics", "reach", "--post", str(post.post), "--json", "--data", copy)
    [shown] = json.loads(reach.stdout)
    assert shown.keys() >= {"could_see", "by_author", "retweeters", "viewers"}
    gone = starling("analytics", "reach", "--post", "5", "--data", copy)
    assert (gone.returncode, b"no post 5" in gone.stderr) == (1, True)
    question = "SELECT kind, count(*) AS n FROM clicks GROUP BY kind ORDER BY kind"
    answer = starling("sql", question, "--json", "--data", copy)
    kinds = [{"kind": "click", "n": 1}, {"kind": "dwell", "n": 1}, {"kind": "view", "n": 2}]
    assert json.loads(answer.stdout) == kinds


def test_what_is_missing_or_wrong_is_said(data: Settings, tmp_path: Path) -> None:
    for arguments in (
        ("growth",),
        ("hashtags",),
        ("click-through",),
        ("funnel", "--plot", "--json"),
        ("active-users", "--zone", "Nowhere"),
    ):
        done = starling("analytics", *arguments, "--data", data.data)
        assert done.returncode in (1, 2)
        assert done.stdout == b""
        assert (
            b"--user" in done.stderr
            or b"--post" in done.stderr
            or b"--tag" in done.stderr
            or b"--plot" in done.stderr
            or b"zone" in done.stderr
        )
