"""What a community asks for."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.cli.main import main
from infra.simulation.capacity import Community, plan_capacity
from infra.simulation.measured_figures import MEASURED_FILE, InvalidFigures, read_figures

MEASURED = read_figures()


def test_the_missions_own_numbers_give_its_own_load() -> None:
    plan = plan_capacity(Community(), MEASURED)
    assert plan.events_a_day == pytest.approx(74e6)
    assert (round(plan.events), round(plan.peak_events)) == (856, 3426)
    assert (round(plan.reads), round(plan.peak_reads)) == (1157, 4630)
    assert plan.partitions == 32
    assert plan.mission_sum == pytest.approx(3.4e12)
    assert plan.images_a_day - 12e6 * 15_000 == pytest.approx(2.4e12)


@pytest.mark.parametrize("tail", [1.2, 1.5, 3.0])
def test_followers_of_a_post_and_authors_that_are_merged_are_those_of_a_sample(tail: float) -> None:
    community = Community(users=1_000_000, tail=tail, followers=100, merged_from=2000)
    plan = plan_capacity(replace(community, daily_users=1_000_000), MEASURED)
    chance, least = random.Random(3), 100 * (tail - 1) / tail
    sample = [least * chance.paretovariate(tail) for _ in range(200_000)]
    below = [followers for followers in sample if followers < 2000]
    assert plan.delivered_followers == pytest.approx(sum(below) / len(sample), rel=0.05)
    merged = (len(sample) - len(below)) / len(sample) * 1_000_000
    assert plan.merged_authors == pytest.approx(merged, rel=0.15, abs=50)


def test_twice_the_people_ask_for_twice_as_much_and_never_for_fewer_machines() -> None:
    one = Community(users=100_000, daily_users=50_000, posters=10_000)
    two = replace(one, users=200_000, daily_users=100_000, posters=20_000)
    small, large = plan_capacity(one, MEASURED), plan_capacity(two, MEASURED)
    for name in ("events", "log", "topic", "views", "images", "rings", "deliveries", "api_cores"):
        assert getattr(large, name) == pytest.approx(2 * getattr(small, name)), name
    assert (small.machines, small.shards, small.workers) == (1, 1, 1)
    assert large.machines >= small.machines
    assert plan_capacity(replace(one, retention_days=730), MEASURED).log == pytest.approx(
        2 * small.log
    )


def test_the_command_prints_the_plan_and_corrects_the_sum_of_the_mission() -> None:
    said = CliRunner().invoke(main, ["capacity"]).output
    assert "74,000,000" in said
    assert "3.4 TB (10 million x 100 kB" in said
    small = ["capacity", "--users", "1000", "--daily-users", "500", "--posters", "50"]
    assert "mission" not in CliRunner().invoke(main, small).output
    told = json.loads(CliRunner().invoke(main, [*small, "--json"]).output)
    assert told["asked"]["posters"] == 50
    assert told["plan"]["partitions"] == 32


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--memory-gb 0", "--memory-gb"),
        ("--disk-tb 0", "--disk-tb"),
        ("--image-share nan", "--image-share"),
        ("--image-share 2", "--image-share"),
        ("--tail inf", "--tail"),
        ("--posters 6000000", "more --posters than --daily-users"),
        ("--users 100 --daily-users 50 --posters 5", "fewer --followers"),
    ],
)
def test_what_can_not_be_is_refused_by_the_name_of_its_option(options: str, said: str) -> None:
    done = CliRunner().invoke(main, ["capacity", *options.split()])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_little_is_not_printed_as_nothing() -> None:
    small = ["--users", "1000", "--daily-users", "10", "--posters", "1"]
    rows = CliRunner().invoke(main, ["capacity", *small]).output.splitlines()
    [peak] = [row.split() for row in rows if "events a second, peak" in row]
    assert peak[4:6] == ["under", "0.01"]


def test_home_timelines_that_no_machine_has_memory_for_ask_for_more_machines() -> None:
    plan = plan_capacity(replace(Community(), memory_gb=2.0), MEASURED)
    assert plan.machines == 32  # 32 GB in halves of 2 GB
    assert plan.mission_sum - plan.profile_images == pytest.approx(2.4e12)


def test_the_plan_multiplies_what_another_machines_benchmark_measured(tmp_path: Path) -> None:
    rows = json.loads(MEASURED_FILE.read_bytes())
    for row in rows:
        if row["unit"] == "us":
            row["value"] *= 2
        if row["ours"] == "one Faust worker":
            row["value"] = 500.0
    file = tmp_path / "measured.json"
    file.write_text(json.dumps(rows))

    def plan(*options: str) -> dict[str, float]:
        told = CliRunner().invoke(main, ["capacity", "--json", *options])
        return dict(json.loads(told.output)["plan"])

    ours, theirs = plan(), plan("--figures", str(file))
    assert theirs["api_cores"] == pytest.approx(2 * ours["api_cores"])
    assert theirs["projector_cores"] == pytest.approx(2 * ours["projector_cores"])
    assert (ours["workers"], theirs["workers"]) == (1, 14)
    assert (
        "worker 500 events/s"
        in CliRunner().invoke(main, ["capacity", "--figures", str(file)]).output
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [("[]", "lacks the figure 'durable appends, '"), ("{", "holds no figures of `make bench`")],
)
def test_a_file_without_the_figures_is_refused_with_what_is_missing(
    content: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "other.json"
    file.write_text(content)
    with pytest.raises(InvalidFigures, match=re.escape(said)):
        read_figures(file)
    with pytest.raises(InvalidFigures, match="No such file"):
        read_figures(tmp_path / "absent.json")


@pytest.mark.parametrize(
    "wrong",
    [["--users", "5"], ["--posters", "6000000"], ["--image-share", "1.5"], ["--tail", "1"]],
)
def test_what_cannot_be_is_wrong_usage(wrong: list[str]) -> None:
    assert CliRunner().invoke(main, ["capacity", *wrong]).exit_code == 2
