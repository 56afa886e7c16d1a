"""Real input through the program's doors; counts against counts taken from the files alone."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands import idempotency
from events.ids.snowflake import time_ms
from events.log import EventLog
from events.times import parse_time
from infra.log_of_record import open_log
from infra.settings import Settings
from projections import followers, posts, profiles
from projections.posts import LIKES, POSTS
from projections.profiles import PROFILES
from projections.store import ReadStore
from tests.real import follow_graph, ldbc
from tests.real.dataset_counts import follow_counts, ldbc_counts
from tests.support.fresh_projection import fresh_views, open_live_views, wait_until_caught_up
from tests.support.requirements import skip_or_fail
from tests.support.server_processes import running_processes
from tests.support.soak import WHOLE
from tests.support.starling_program import starling

Line = dict[str, Any]
Views = Mapping[str, ReadStore]

BATCH = 5000
"""Lines of one request."""

pytestmark = pytest.mark.timeout(300)


def folder(shared_data: Path, name: str) -> Path:
    if not (shared_data / name).is_dir():
        skip_or_fail(f"the data set {shared_data / name}")
    return shared_data / name


def ndjson(lines: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def ids_by(log: EventLog, made: Iterable[str]) -> dict[str, int]:
    """What the lines with these keys made."""
    found = {}
    for key in made:
        remembered = log.idempotency_result(idempotency.IMPORT_KEY_PREFIX + key)
        assert remembered, f"no line with the key {key} was done"
        found[key] = remembered.result_id
    return found


def named(ids: Mapping[str, int], counted: Mapping[str, int]) -> dict[int, int]:
    """Counts by id instead of key; what has none is 0."""
    return {id: counted.get(key, 0) for key, id in ids.items()}


async def check_stream(
    log: EventLog, views: Views, stream: Path, lines: list[Line], others: int = 0
) -> None:
    """The views hold what the update stream does, and `others` who are not of it."""
    counted = ldbc_counts(stream)
    people = ids_by(log, keys_of(lines, "ldbc-person-"))
    messages = ids_by(log, keys_of(lines, "ldbc-message-"))
    assert len(people) == counted.people
    assert len(await views["profiles"].scan(PROFILES)) == counted.people + 1 + others
    rows = await views["posts"].scan(POSTS)
    comments = sum(row.reply_to is not None for row in rows)
    assert comments == counted.comments
    assert len(rows) - comments == counted.posts + counted.unlisted_messages
    assert len(await views["posts"].scan(LIKES)) == counted.likes

    shown = await posts.read_posts(views["posts"], messages.values())
    by_message = {key.removeprefix("ldbc-message-"): id for key, id in messages.items()}
    assert {id: post.likes for id, post in shown.items()} == named(by_message, counted.likes_of)
    assert {id: post.comments for id, post in shown.items()} == named(
        by_message, counted.comments_on
    )
    by_person = {key.removeprefix("ldbc-person-"): id for key, id in people.items()}
    wrote = await posts.count_authored_posts(views["posts"], people.values())
    assert {id: wrote.get(id, 0) for id in people.values()} == named(by_person, counted.posts_by)
    friends = named(by_person, counted.friends_of)
    assert await followers.count_follows(views["followers"], people.values()) == {
        id: (count, count) for id, count in friends.items()
    }


def check_times(log: EventLog, lines: list[Line]) -> None:
    """Every message has the time of its row, and no id is there twice."""
    written = {line["key"]: parse_time(line["at"]) for line in lines}
    made = ids_by(log, keys_of(lines, "ldbc-message-"))
    assert {key: time_ms(id) for key, id in made.items()} == {key: written[key] for key in made}
    ids = [stored.id for stored in log.read_all(limit=10**6)]
    assert len(ids) == len(set(ids))


def keys_of(lines: list[Line], prefix: str) -> list[str]:
    """The keys of the lines that make one kind of thing."""
    return [line["key"] for line in lines if line["key"].startswith(prefix)]


@pytest.fixture(scope="module")
def stream(shared_data: Path) -> Path:
    return folder(shared_data, "ldbc-update-stream")


@pytest.fixture(scope="module")
def lines(stream: Path) -> list[Line]:
    return list(ldbc.commands(stream))


@pytest.fixture(scope="module")
def graph(shared_data: Path) -> Path:
    return folder(shared_data, "follow-graph")


@pytest.mark.skipif(not WHOLE, reason="make test imports it over HTTP, and exports what it made")
async def test_the_update_stream_is_imported_by_the_program(
    stream: Path, lines: list[Line], tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path / "data")
    done = starling("import", "-", "--data", settings.data, stdin=ndjson(lines))
    assert (done.returncode, done.stderr) == (0, b"")
    assert Counter(json.loads(answer)["status"] for answer in done.stdout.splitlines()).keys() == {
        200,
        201,
    }
    with open_log(settings) as log:
        check_times(log, lines)
        async with fresh_views(log, tmp_path) as views:
            await check_stream(log, views, stream, lines)


async def check_answers(client: httpx.AsyncClient, log: EventLog, stream: Path) -> None:
    """Who and what the stream has most of is shown with its counts."""
    counted = ldbc_counts(stream)
    for person, friends in counted.friends_of.most_common(20):
        user = (await client.get(f"/v1/users/@{ldbc.handle(person)}")).json()
        assert (user["followers"], user["following"]) == (friends, friends)
        assert user["posts"] == counted.posts_by[person]
    for message, likes in counted.likes_of.most_common(20):
        id = ids_by(log, [ldbc.message_key(message)]).popitem()[1]
        post = (await client.get(f"/v1/posts/{id}")).json()
        assert (post["likes"], post["comments"]) == (likes, counted.comments_on[message])


async def test_the_update_stream_is_imported_over_http(
    stream: Path, lines: list[Line], tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path)
    async with running_processes(tmp_path) as running:
        await running.start_api()
        await running.start_projector()
        async with httpx.AsyncClient(base_url=running.url(), timeout=60) as client:
            new = {
                "handle": "clerk",
                "name": "C",
                "email": "c@example.org",
                "password": "ink & pen",
            }
            assert (await client.post("/v1/users", json=new)).status_code == 201
            token = starling("token", "@clerk", "--scope", "import", "--data", tmp_path).stdout
            client.headers["Authorization"] = f"Bearer {token.decode().strip()}"
            for start in range(0, len(lines), BATCH):
                batch = lines[start : start + BATCH]
                answer = await client.post("/v1/commands", content=ndjson(batch))
                told = [json.loads(line) for line in answer.text.splitlines()]
                assert [each["key"] for each in told] == [line["key"] for line in batch]
                assert {each["status"] for each in told} <= {200, 201}
            with open_log(settings) as log:
                check_times(log, lines)
                await wait_until_caught_up(settings, log)
                async with open_live_views(settings.views_folder) as views:
                    await check_stream(log, views, stream, lines, others=1)
                await check_answers(client, log, stream)


async def test_the_follow_graph_is_imported_by_the_program(graph: Path, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    if not WHOLE:
        graph = follow_graph.write_part(graph, tmp_path / "part", edges=12_000)
    counted = follow_counts(graph)
    edges = ndjson(follow_graph.commands(graph))
    done = starling("import", "-", "--data", settings.data, stdin=edges)
    assert (done.returncode, done.stderr) == (0, b"")
    with open_log(settings) as log:
        async with fresh_views(log, tmp_path) as views:
            rows = await views["profiles"].scan(PROFILES)
            assert len(rows) == counted.accounts
            accounts = {row.user: int(row.handle.removeprefix("a")) for row in rows}
            degrees = await followers.count_follows(views["followers"], accounts.keys())
            assert degrees == {
                user: (counted.followers_of[account], counted.following_of[account])
                for user, account in accounts.items()
            }
            assert sum(count for count, _ in degrees.values()) == counted.follows
            assert counted.follows == (68_328 if WHOLE else 12_000)
            some = rows[0]
            assert await profiles.find_by_handle(views["profiles"], some.handle) == some
