"""`starling capacity`: what a community of a given size asks for."""

import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from infra.cli.errors import UserError
from infra.cli.options import json_option
from infra.cli.output import echo, echo_json, print_table
from infra.simulation.capacity import CapacityPlan, Community, plan_capacity

if TYPE_CHECKING:
    from infra.simulation.measured_figures import MeasuredFigures

_HELP: Final = {
    "users": "Accounts.",
    "daily_users": "Of them, who come in a day.",
    "posters": "Of them, who post in a day.",
    "posts_each": "Posts of a poster a day.",
    "likes_each": "Likes of a daily user.",
    "comments_each": "Comments of a daily user.",
    "retweets_each": "Retweets of a daily user.",
    "follows_each": "New follows of a daily user.",
    "reads_each": "Timeline reads of a daily user.",
    "image_share": "Share of posts with an image.",
    "image_kb": "Size of an image.",
    "profile_kb": "Size of a user with avatar and header.",
    "followers": "Followers of a user in the mean.",
    "tail": "Exponent of their Pareto distribution, above 1.",
    "merged_from": "Followers from which on posts are merged when read.",
    "retention_days": "How long all is kept.",
    "peak": "The busiest second as a multiple of the average.",
    "replication": "Brokers that store each event.",
    "cores": "Cores of a machine.",
    "memory_gb": "Its memory.",
    "disk_tb": "Its disk.",
}


_BOUNDS: Final[dict[str, dict[str, Any]]] = {
    "tail": {"min": 1.01},
    "image_share": {"min": 0, "max": 1},
    "peak": {"min": 1},
    "memory_gb": {"min": 0, "min_open": True},
    "disk_tb": {"min": 0, "min_open": True},
}
"""Of the options; those that aren't here are at least 1 where they count, else at least 0."""


def _with_options(command: Any) -> Any:
    for field in reversed(fields(Community)):
        counts = isinstance(field.default, int)
        bounds = _BOUNDS.get(field.name, {"min": 1 if counts else 0})
        command = click.option(
            _option(field.name),
            field.name,
            type=(click.IntRange if counts else click.FloatRange)(**bounds),
            default=field.default,
            show_default=True,
            help=_HELP[field.name],
        )(command)
    return command


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")


def _check(community: Community) -> None:
    """Raises `BadParameter`."""
    for field in fields(Community):
        if not math.isfinite(getattr(community, field.name)):
            raise click.BadParameter("give a number", param_hint=_option(field.name))
    if not community.posters <= community.daily_users <= community.users:
        raise click.UsageError(
            "there can't be more --posters than --daily-users, nor more of these than --users: "
            f"{community.posters:,} post, {community.daily_users:,} come, of {community.users:,}"
        )
    if community.followers >= community.users:
        raise click.UsageError(
            f"{community.users:,} users can't have {community.followers:g} followers each in the "
            "mean: give fewer --followers"
        )


@click.command()
@_with_options
@click.option(
    "--figures",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What `make bench` measured elsewhere: its infra/simulation/measured.json.",
)
@json_option
def capacity(file: Path | None, as_json: bool, **asked: Any) -> None:
    """Say what a community of a given size asks for.

    Events, bytes, cores, partitions, shards and machines. The defaults are those of ten million
    users. What one process does was measured by `make bench`. docs/capacity.md explains each line.

    Example: starling capacity --users 100000 --daily-users 40000 --posters 5000
    """
    from infra.simulation.measured_figures import InvalidFigures, read_figures

    community = Community(**asked)
    _check(community)
    try:
        measured = read_figures(file)
    except InvalidFigures as error:
        raise UserError(str(error), exit_code=2) from error
    plan = plan_capacity(community, measured)
    if as_json:
        document = {"asked": asdict(community), "measured": asdict(measured), "plan": asdict(plan)}
        echo_json(json.dumps(document))
        return
    print_table(("what", "amount", "one of ours was measured at"), _rows(plan, measured))
    if community == Community():
        echo(
            f"Profiles and a day's images are {_bytes(plan.mission_sum)} (10 million x 100 kB + 12 "
            "million x 200 kB); the mission's own sum, 34 GB, is a hundredth of that."
        )


def _rows(plan: CapacityPlan, one: "MeasuredFigures") -> list[tuple[str, str, str]]:
    return [
        ("events a day", f"{plan.events_a_day:,.0f}", ""),
        ("events a second", _rate(plan.events), ""),
        (
            "events a second, peak",
            _rate(plan.peak_events),
            f"log {one.log_events:,.0f}, relay {one.relay_events:,.0f}",
        ),
        ("timeline reads a second", _rate(plan.reads), ""),
        ("timeline reads a second, peak", _rate(plan.peak_reads), ""),
        ("followers a post goes to", _rate(plan.delivered_followers), ""),
        ("authors merged on read", f"{plan.merged_authors:,.0f}", ""),
        (
            "deliveries a second, peak",
            _rate(plan.deliveries),
            f"projector {one.deliveries:,.0f}",
        ),
        ("log, a day", _bytes(plan.log_a_day), ""),
        ("log, over the retention", _bytes(plan.log), ""),
        ("topic, with replicas", _bytes(plan.topic), ""),
        ("views in MongoDB", _bytes(plan.views), ""),
        ("images, a day", _bytes(plan.images_a_day), ""),
        ("images, over the retention", _bytes(plan.images), ""),
        ("images of profiles, once", _bytes(plan.profile_images), ""),
        ("home timelines in memory", _bytes(plan.rings), ""),
        ("cores of API processes, peak", _rate(plan.api_cores), _us(one.api_core_seconds)),
        (
            "cores of the projector, peak",
            _rate(plan.projector_cores),
            _us(one.projector_core_seconds),
        ),
        (
            "cores for images, peak",
            _rate(plan.image_cores),
            f"{one.image_core_seconds * 1e3:,.0f} ms an image",
        ),
        ("workers, twice the peak", f"{plan.workers}", f"worker {one.worker_events:,.0f} events/s"),
        ("partitions", f"{plan.partitions}", ""),
        ("shards of MongoDB", f"{plan.shards}", ""),
        ("machines for API and images", f"{plan.machines}", ""),
    ]


def _rate(value: float) -> str:
    """Whole from 10 on; what is less has two digits, so that little isn't taken for nothing."""
    if 0 < value < 0.01:
        return "under 0.01"
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} us a request"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
