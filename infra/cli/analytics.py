"""`starling analytics`: figures of the view `analytics`, as tables or JSON."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from infra.cli.errors import UserError, missing_package
from infra.cli.options import data_option, json_option, settings_of_existing_log
from infra.cli.output import echo, echo_line, json_array, print_table

if TYPE_CHECKING:
    from api.clicks.click_log import ClickFigures
    from infra.settings import Settings
    from projections.analytics import Period, Span
    from projections.store import ReadStore

NAMES: Final = (
    "active-users",
    "retention",
    "funnel",
    "growth",
    "hashtags",
    "click-through",
    "reach",
    "top-posts",
)
_DAY: Final = click.DateTime(["%Y-%m-%d"])
_OF_DAYS: Final = tuple(name for name in NAMES if name != "reach")
_USED_BY: Final = {
    "since": _OF_DAYS,
    "to": _OF_DAYS,
    "zone": _OF_DAYS,
    "per": tuple(name for name in _OF_DAYS if name != "retention"),
    "user": ("growth",),
    "tag": ("hashtags",),
    "post": ("click-through", "reach"),
    "limit": ("top-posts",),
}
"""What each option belongs to."""
_NEEDS: Final = {
    "growth": ("user", "growth of which account?"),
    "hashtags": ("tag", "which hashtag?"),
    "click-through": ("post", "of which post?"),
    "reach": ("post", "of which post?"),
}


@click.command()
@click.argument("name", metavar="NAME", type=click.Choice(NAMES))
@click.option(
    "--from",
    "since",
    type=_DAY,
    metavar="DAY",
    help="The first day, as 2026-01-31.  [default: four weeks before the last]",
)
@click.option("--to", type=_DAY, metavar="DAY", help="The last day.  [default: today]")
@click.option(
    "--per",
    type=click.Choice(["day", "week", "month"]),
    default="day",
    show_default=True,
    help="How long a period is; of retention it is a week.",
)
@click.option("--zone", default="UTC", show_default=True, help="A time zone: Europe/Berlin.")
@click.option("--user", help="Of growth: an id or an @handle.")
@click.option("--tag", help="Of hashtags: which one.")
@click.option("--post", type=int, help="Of click-through and reach: the id of a post.")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Of top-posts: how many."
)
@click.option("--plot", is_flag=True, help="Draw the figures instead of a table.")
@data_option
@json_option
def analytics(
    name: str,
    since: datetime | None,
    to: datetime | None,
    per: Any,
    zone: str,
    user: str | None,
    tag: str | None,
    post: int | None,
    limit: int,
    plot: bool,
    data: Path | None,
    as_json: bool,
) -> None:
    """Print figures of accounts, hashtags, posts and clicks.

    Without a server or beside one. NAME is one of

    \b
      active-users   accounts that wrote, liked, retweeted or followed
      retention      of those made in each week, how many were active later
      funnel         signed up; of these, followed; of these, posted; of these, liked
      growth         followers that an account gained and lost (--user)
      hashtags       posts with a hashtag (--tag)
      click-through  views, clicks and dwell of a post (--post)
      reach          who could see a post, and how many did (--post)
      top-posts      the posts that were opened most often

    Example: starling analytics active-users --per week --zone Europe/Berlin --plot
    """
    import asyncio

    if plot and as_json:
        raise click.UsageError("one of --json and --plot")
    _check_options(name)
    spans = _spans(since, to, "week" if name == "retention" else per, zone)
    settings = settings_of_existing_log(data=data)
    if name in ("click-through", "top-posts"):
        about = post if name == "click-through" else None
        rows = asyncio.run(_ask_clicks(settings, spans, about, limit))
        if not any(row.views or row.clicks or row.dwells for row in rows):
            which = "a post" if about is None else f"post {about}"
            echo_line(f"no click of these days names {which}")
    elif name == "reach":
        rows = [asyncio.run(_ask_reach(settings, post or 0))]
    else:
        rows = asyncio.run(_ask(settings, name, spans, user or "", (tag or "").removeprefix("#")))
    _show(name, rows, as_json, plot)


def _spans(since: datetime | None, to: datetime | None, per: "Period", zone: str) -> "list[Span]":
    """The periods asked for. Raises `UsageError`."""
    from api.v1.analytics import periods_between
    from commands.errors import InvalidInput
    from infra.process.clock import clock_ms

    first, last = (None if day is None else day.date() for day in (since, to))
    try:
        return periods_between(first, last, per, zone, clock_ms())
    except InvalidInput as error:
        raise click.UsageError(str(error)) from error


def _check_options(name: str) -> None:
    """Raises `UsageError` for an option that is missing, and for one that means nothing here."""
    context = click.get_current_context()
    needed, question = _NEEDS.get(name, (None, ""))
    if needed is not None and context.params[needed] is None:
        raise click.UsageError(f"{question} Give --{needed}")
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "")
        used_by = _USED_BY.get(option.name or "", NAMES)
        if name not in used_by and given is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{name} takes no {option.opts[0]}")


def _show(name: str, rows: "Sequence[Any]", as_json: bool, plot: bool) -> None:
    if as_json:
        with json_array() as write:
            for row in rows:
                write({key: _plain(value) for key, value in row._asdict().items()})
    elif plot and rows:
        from infra.cli.plots import draw_rows

        try:
            echo(draw_rows(name, rows))
        except ModuleNotFoundError as error:
            raise missing_package(error, "plots") from error
    elif rows:
        cells = [[_plain(value, " ") for value in row] for row in rows]
        print_table(rows[0]._fields, cells)


async def _ask(
    settings: "Settings", name: str, spans: "Sequence[Span]", user: str, tag: str
) -> list[Any]:
    """The rows of an answer, all of one type."""
    from commands.references import ReferenceResolver
    from infra.log_of_record import open_log_for_questions
    from infra.wiring.profile_choice import choose_profile
    from projections import analytics as queries

    with open_log_for_questions(settings) as log:
        async with choose_profile(settings).open_read_side(log) as read_side:
            store: ReadStore = read_side.views.current_store("analytics")
            if name == "active-users":
                return list(await queries.count_active_users(store, spans))
            if name == "retention":
                return list(await queries.count_cohorts(store, spans))
            if name == "funnel":
                whole = spans[0]._replace(end=spans[-1].end)
                return [await queries.count_funnel(store, whole)]
            if name == "hashtags":
                return list(await queries.count_hashtag(store, tag, spans))
            account = ReferenceResolver(log).user_id(user)
            return list(await queries.count_growth(store, account, spans))


async def _ask_reach(settings: "Settings", post: int) -> Any:
    """Raises `UserError`."""
    from api.clicks.click_figures import describe_reach
    from infra.log_of_record import open_log_for_questions
    from infra.wiring.profile_choice import choose_profile
    from projections.posts import read_posts
    from projections.reach import count_reach

    with open_log_for_questions(settings) as log, _open_click_figures(settings) as clicks:
        async with choose_profile(settings).open_read_side(log) as read_side:
            posts = read_side.views.current_store("posts")
            row = (await read_posts(posts, [post])).get(post)
            if row is None:
                raise UserError(f"there is no post {post} (any more)")
            followers = read_side.views.current_store("followers")
            reach = await count_reach(followers, posts, post, row.author)
        return describe_reach(reach, await clicks.viewers_of_post(post))


async def _ask_clicks(
    settings: "Settings", spans: "Sequence[Span]", post: int | None, limit: int
) -> list[Any]:
    """The periods of a post, or the posts that were opened most often."""
    from api.clicks.click_figures import describe_period, describe_post

    with _open_click_figures(settings) as clicks:
        if post is None:
            whole = range(spans[0].first, spans[-1].end)
            return [describe_post(reads) for reads in await clicks.most_read_posts(whole, limit)]
        quarters = [range(span.first, span.end) for span in spans]
        found = await clicks.reads_of_post(post, quarters)
        return [describe_period(s.day, reads) for s, reads in zip(spans, found, strict=True)]


@contextmanager
def _open_click_figures(settings: "Settings") -> "Iterator[ClickFigures]":
    """Those of all machines, or of the data folder, which may be a copy that can't be written."""
    from infra.sqlite.click_log import CLICKS_FILE
    from infra.sqlite.click_questions import SqliteClickFigures, open_clicks_for_questions
    from infra.wiring.profile_choice import choose_profile

    with choose_profile(settings).open_shared_clicks() as shared:
        if shared is not None:
            yield shared.figures
            return
        with open_clicks_for_questions(settings.data / CLICKS_FILE) as connection:
            yield SqliteClickFigures(connection)


def _plain(value: Any, between: str | None = None) -> Any:
    """A value for a cell or, without `between`, for JSON."""
    if isinstance(value, tuple):
        return list(value) if between is None else between.join(map(str, value))
    if value is None and between is not None:
        return ""
    return value if isinstance(value, int | float | None) else str(value)
