"""`starling capacity`: what a community of a given size asks for."""

import json
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


def _with_options(command: Any) -> Any:
    for field in reversed(fields(Community)):
        least = 1.01 if field.name == "tail" else 1 if isinstance(field.default, int) else 0
        number = click.IntRange if isinstance(field.default, int) else click.FloatRange
        command = click.option(
            "--" + field.name.replace("_", "-"),
            field.name,
            type=number(min=least),
            default=field.default,
            show_default=True,
            help=_HELP[field.name],
        )(command)
    return command


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
    if not community.posters <= community.daily_users <= community.users:
        raise click.BadParameter("there must be as many users as daily users, and these as posters")
    if community.image_share > 1:
        raise click.BadParameter("is a share, 0 to 1", param_hint="--image-share")
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
        ("events a second", f"{plan.events:,.0f}", ""),
        (
            "at the peak",
            f"{plan.peak_events:,.0f}",
            f"log {one.log_events:,.0f}, relay {one.relay_events:,.0f}",
        ),
        ("timeline reads a second", f"{plan.reads:,.0f}", ""),
        ("at the peak", f"{plan.peak_reads:,.0f}", ""),
        ("followers a post goes to", f"{plan.delivered_followers:,.0f}", ""),
        ("authors merged on read", f"{plan.merged_authors:,.0f}", ""),
        (
            "deliveries a second, peak",
            f"{plan.deliveries:,.0f}",
            f"projector {one.deliveries:,.0f}",
        ),
        ("log, a day", _bytes(plan.log_a_day), ""),
        ("log, over the retention", _bytes(plan.log), ""),
        ("topic, with replicas", _bytes(plan.topic), ""),
        ("views in MongoDB", _bytes(plan.views), ""),
        ("images, a day", _bytes(plan.images_a_day), ""),
        ("images, over the retention", _bytes(plan.images), ""),
        ("home timelines in memory", _bytes(plan.rings), ""),
        ("cores of API processes, peak", f"{plan.api_cores:,.1f}", _us(one.api_core_seconds)),
        (
            "cores of the projector, peak",
            f"{plan.projector_cores:,.1f}",
            _us(one.projector_core_seconds),
        ),
        (
            "cores for images, peak",
            f"{plan.image_cores:,.1f}",
            f"{one.image_core_seconds * 1e3:,.0f} ms an image",
        ),
        ("workers, twice the peak", f"{plan.workers}", f"worker {one.worker_events:,.0f} events/s"),
        ("partitions", f"{plan.partitions}", ""),
        ("shards of MongoDB", f"{plan.shards}", ""),
        ("machines for the API", f"{plan.machines}", ""),
    ]


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} us a request"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
