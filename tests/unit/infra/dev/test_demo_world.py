"""The demo world is made of ordinary commands, the same for the same seed."""

import json
from collections import Counter
from pathlib import Path

from commands import import_line
from infra.dev import demo_world
from infra.settings import Settings

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


def test_people_part_ways_and_talks_go_deep() -> None:
    world = list(demo_world.generate_commands(1, NOW_MS))
    made = Counter(line["command"] for line in world)
    assert made["block"] > made["unblock"] > 0
    assert made["mute"] > made["unmute"] > 0
    assert made["delete_account"] == len(demo_world.LEAVING)
    assert made["change_profile"] >= 2
    about = {line["key"]: line["data"].get("post", "") for line in world}

    def depth(key: str) -> int:
        return 1 + depth(about[key].removeprefix("key:")) if about[key] else 0

    comments = [line["key"] for line in world if line["command"] == "comment"]
    assert max(map(depth, comments)) > demo_world.THREAD_DEPTH
    assert sum(depth(key) > 1 for key in comments) > 20


def test_some_join_late_some_fall_silent_and_those_who_left_do_nothing_more() -> None:
    world = list(demo_world.generate_commands(1, NOW_MS))
    days: dict[str, list[str]] = {bird: [] for bird in demo_world.BIRDS}
    for line in world:
        if line["command"] == "post":
            days[line["as"][1:]].append(line["at"][:10])
    all_days = [day for each in days.values() for day in each]
    first, last = min(all_days), max(all_days)
    assert all(last not in days[bird] for bird in demo_world.SILENT)
    assert all(first not in days[bird] for bird in demo_world.BIRDS[-demo_world.NEWCOMERS :])
    ended = {line["as"]: line["at"] for line in world if line["command"] == "delete_account"}
    assert [
        line for line in world if line.get("as") in ended and line["at"] > ended[line["as"]]
    ] == []


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


async def test_the_password_is_known_where_this_machine_alone_can_sign_in(
    tmp_path: Path,
) -> None:
    settings = Settings(data=tmp_path, host="localhost")
    assert await demo_world.import_demo_world(settings) == demo_world.DEMO_PASSWORD
    assert await demo_world.import_demo_world(settings) is None


async def test_where_other_machines_can_sign_in_the_password_is_a_random_one(
    tmp_path: Path,
) -> None:
    made = await demo_world.import_demo_world(Settings(data=tmp_path, host="0.0.0.0"))
    assert made is not None
    assert made != demo_world.DEMO_PASSWORD
    assert len(made) == 16
