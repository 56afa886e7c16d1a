"""The demo world is made of ordinary commands, the same for the same seed."""

import json
from collections import Counter

from commands import import_line
from infra.dev import demo_world

NOW_MS = 1_760_000_000_000


def test_the_same_seed_and_time_give_the_same_world() -> None:
    assert list(demo_world.generate_commands(1, NOW_MS)) == list(
        demo_world.generate_commands(1, NOW_MS)
    )
    assert list(demo_world.generate_commands(1, NOW_MS)) != list(
        demo_world.generate_commands(2, NOW_MS)
    )


def test_it_has_what_every_page_needs() -> None:
    world = list(demo_world.generate_commands(1, NOW_MS))
    made = Counter(line["command"] for line in world)
    assert made["register"] == len(demo_world.BIRDS)
    assert made["post"] > demo_world.POST_COUNT
    assert min(made[kind] for kind in ("follow", "like", "retweet", "comment")) > 100
    assert min(made[kind] for kind in ("unlike", "unfollow", "edit_post", "delete_post")) >= 3
    rising = [line for line in world if demo_world.TRENDING_TAG in line["data"].get("text", "")]
    assert len({line["as"] for line in rising if line["command"] == "post"}) >= 5


def test_few_are_followed_by_many() -> None:
    followers = Counter(
        line["data"]["user"]
        for line in demo_world.generate_commands(1, NOW_MS)
        if line["command"] == "follow"
    )
    ranked = [count for _, count in followers.most_common()]
    assert ranked[0] > 4 * ranked[len(ranked) // 2]


def test_every_line_is_a_command_with_a_key_of_its_own() -> None:
    world = list(demo_world.generate_commands(1, NOW_MS))
    parsed = [import_line.parse_import_line(json.dumps(line).encode()) for line in world]
    assert len({line.key for line in parsed}) == len(world)
