"""`starling rules`: what is followed or used together, by Apriori."""

from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from infra.cli.options import data_option, json_option, settings_of_existing_log
from infra.cli.output import echo_line, json_array, print_table

if TYPE_CHECKING:
    from infra.settings import Settings
    from projections.apriori import AssociationRule
    from projections.store import ReadStore

    MinedRules = tuple[int, Sequence[AssociationRule[str]]]

_COLUMNS: Final = ("antecedent", "consequent", "support", "confidence", "lift")


class RuleLimits(NamedTuple):
    """Which rules are wanted."""

    support: float
    """The least share of transactions with all of a rule."""
    confidence: float
    size: int
    """How many are in a rule at most."""
    rules: int
    """How many rules at most."""


@click.command()
@click.argument("kind", metavar="KIND", type=click.Choice(["follows", "hashtags"]))
@click.option(
    "--min-support",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.01,
    show_default=True,
    help="The least share of follow lists, or of posts, that have all of a rule.",
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Of those with the antecedent, the least share with the consequent.",
)
@click.option(
    "--max-size",
    type=click.IntRange(2),
    default=3,
    show_default=True,
    help="How many are in a rule at most, both sides together.",
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@data_option
@json_option
def rules(
    kind: str,
    min_support: float,
    min_confidence: float,
    max_size: int,
    limit: int,
    data: Path | None,
    as_json: bool,
) -> None:
    """Print what is followed together, or used together in posts.

    Association rules, mined with Apriori from the follow lists of all accounts (KIND follows) or
    from the hashtags of all posts (KIND hashtags): who has the antecedent has the consequent, too.
    The most confident come first. A lift above 1 says more often than by chance.

    Example: starling rules hashtags --min-support 0.001
    """
    import asyncio

    settings = settings_of_existing_log(data=data)
    limits = RuleLimits(min_support, min_confidence, max_size, limit)
    count, found = asyncio.run(_mine(settings, kind, limits))
    if not found:
        what = "follow lists" if kind == "follows" else "posts with hashtags"
        echo_line(f"no rule holds in {count:,} {what}: ask for less support or confidence")
    if as_json:
        with json_array() as write:
            for rule in found:
                write(rule._asdict())
    elif found:
        cells = [
            (" ".join(a), " ".join(c), *(round(figure, 4) for figure in figures))
            for a, c, *figures in found
        ]
        print_table(_COLUMNS, cells)


async def _mine(settings: "Settings", kind: str, least: RuleLimits) -> "MinedRules":
    from infra.log_of_record import open_log_for_questions
    from infra.wiring.profile_choice import choose_profile

    with open_log_for_questions(settings) as log:
        async with choose_profile(settings).open_read_side(log) as read_side:
            return await mine_rules(read_side.views.current_store, kind, least)


async def mine_rules(
    store_of: "Callable[[str], ReadStore]", kind: str, limits: RuleLimits
) -> "MinedRules":
    """How many transactions of a kind (`follows`, `hashtags`) there are, and their best rules."""
    from projections.apriori import find_frequent_itemsets, find_rules

    if kind == "hashtags":
        baskets = await _hashtags(store_of("posts"))
    else:
        baskets = await _follow_lists(store_of("recommendations"))
    count = max(2, ceil(limits.support * len(baskets)))
    itemsets = find_frequent_itemsets(baskets, count, limits.size)
    found = sorted(
        find_rules(itemsets, len(baskets), limits.confidence),
        key=lambda rule: (-rule.confidence, -rule.support, rule[:2]),
    )[: limits.rules]
    if kind == "follows":
        found = await _with_handles(store_of("profiles"), found)
    return len(baskets), found


async def _follow_lists(store: "ReadStore") -> list[Sequence[Any]]:
    """Whom each account follows."""
    from projections.baskets import unpack_basket
    from projections.recommendations import BASKETS
    from streams.rebuild.rebuild import scan_rows

    return [unpack_basket(row.followees).tolist() async for row in scan_rows(store, BASKETS)]


async def _hashtags(store: "ReadStore") -> list[Sequence[Any]]:
    """The hashtags of each post that has some, in one case."""
    import msgspec

    from events.hashtags import fold_hashtag
    from projections.posts import POSTS
    from streams.rebuild.rebuild import scan_rows

    tags = [msgspec.json.decode(row.hashtags) async for row in scan_rows(store, POSTS)]
    return [sorted({fold_hashtag(tag) for tag in some}) for some in tags if some]


async def _with_handles(
    store: "ReadStore", found: "Sequence[AssociationRule[int]]"
) -> "list[AssociationRule[str]]":
    """Accounts by handle, those that are not shown any more by id."""
    from projections.apriori import AssociationRule
    from projections.profiles import read_profiles

    users = {user for rule in found for user in (*rule.antecedent, *rule.consequent)}
    handles = {user: f"@{row.handle}" for user, row in (await read_profiles(store, users)).items()}

    def named(items: Sequence[int]) -> tuple[str, ...]:
        return tuple(handles.get(user, str(user)) for user in items)

    return [AssociationRule(named(a), named(c), *figures) for a, c, *figures in found]
