"""Webhooks and their queue, wherever these are kept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from api.webhooks.webhook_store import (
    DeliveryState,
    FollowedPosition,
    NewDelivery,
    WaitingDeliveries,
    Webhook,
    WebhookDelivery,
    WebhookStore,
    WebhooksUnavailable,
)
from infra.sqlite.locked_connection import ERASING_PRAGMAS
from infra.sqlite.migrations import FileSchema
from infra.sqlite.webhooks import WEBHOOKS_SCHEMA, SqliteWebhooks
from projections.pages import PageRequest

ADA, BOB = 7, 8
NOW = 1_700_000_000_000
LATER = NOW + 60_000
LOG = "ab" * 16

Open = Callable[[], WebhookStore]
"""Opens the same webhooks once more, as another process would."""


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.engines)])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    if request.param == "sqlite":
        yield lambda: SqliteWebhooks(tmp_path / "webhooks.sqlite")
        return
    from infra.mongodb.webhooks import MongoWebhooks
    from tests.support.engines.mongodb_views import temporary_database

    async with temporary_database(request.getfixturevalue("mongodb")) as opened:
        yield lambda: MongoWebhooks(opened.blocking)


@pytest.fixture
async def store(open_store: Open) -> AsyncIterator[WebhookStore]:
    opened = open_store()
    yield opened
    opened.close()


def webhook(id: int = 1, user: int = ADA, url: str = "https://a.org/", since: int = 10) -> Webhook:
    return Webhook(id, user, url, frozenset({"post.created"}), since)


def news(position: int, webhook: int = 1) -> NewDelivery:
    return NewDelivery(webhook, "post.created", position, position * 100, 0, BOB, position * 100)


async def fill(store: WebhookStore, *positions: int, webhook: int = 1) -> None:
    """Queue events at these positions, as a process that followed the log to there does."""
    after = (await store.followed_position()).position
    generation = (await store.all_webhooks()).generation
    deliveries = [news(position, webhook) for position in positions]
    assert await store.enqueue(deliveries, after, positions[-1], generation, NOW)


async def due(
    store: WebhookStore, now_ms: int = NOW, until_ms: int = LATER
) -> list[WebhookDelivery]:
    return [one.delivery for one in await store.claim_due(now_ms, until_ms, 10)]


async def listed(store: WebhookStore, **bounds: int) -> list[tuple[int, DeliveryState]]:
    found = await store.list_deliveries(1, PageRequest(**bounds))
    return [(one.position, one.state) for one in found]


async def test_webhooks_are_their_users_and_bounded(store: WebhookStore) -> None:
    assert await store.subscribe(webhook(1), "s", 2, 9)
    assert await store.subscribe(webhook(2, url="https://b.org/"), "s", 2, 9)
    assert not await store.subscribe(webhook(3), "s", 2, 9)
    assert await store.subscribe(webhook(4, BOB), "s", 2, 9)
    assert await store.webhooks_of(ADA) == [webhook(1), webhook(2, url="https://b.org/")]
    assert not await store.unsubscribe(BOB, 1)
    assert not await store.resubscribe(webhook(1, BOB))
    changed = webhook(1, url="https://c.org/")._replace(types=frozenset({"a", "b"}))
    assert await store.resubscribe(changed)
    assert await store.unsubscribe(ADA, 2)
    assert (await store.all_webhooks()).webhooks == [changed, webhook(4, BOB)]
    assert await store.unsubscribe(ADA)
    assert not await store.unsubscribe(ADA)
    assert await store.webhooks_of(ADA) == []


async def test_the_queue_grows_from_where_it_stands_and_for_the_webhooks_that_there_are(
    store: WebhookStore,
) -> None:
    assert await store.followed_position() == FollowedPosition("", 0)
    await store.follow_from(FollowedPosition(LOG, 10))
    await store.subscribe(webhook(), "s", 5, 9)
    generation = (await store.all_webhooks()).generation
    assert not await store.enqueue([news(12)], 11, 13, generation, NOW)
    assert await store.enqueue([news(12)], 10, 13, generation, NOW)
    assert not await store.enqueue([news(12)], 10, 13, generation, NOW)
    for change in (
        store.subscribe(webhook(2), "s", 5, 9),
        store.resubscribe(webhook(2)),
        store.unsubscribe(ADA, 2),
    ):
        assert await change
        assert not await store.enqueue([news(14)], 13, 15, generation, NOW)
        generation = (await store.all_webhooks()).generation
    assert await store.enqueue([], 13, 15, generation, NOW)
    assert await store.followed_position() == FollowedPosition(LOG, 15)
    assert await listed(store) == [(12, DeliveryState.PENDING)]


async def test_deliveries_are_claimed_in_order_one_of_a_webhook_by_one_process(
    open_store: Open,
) -> None:
    one, other = open_store(), open_store()
    await one.subscribe(webhook(), "the secret", 5, 9)
    await one.subscribe(webhook(2, BOB), "s", 5, 9)
    await fill(one, 12, 13)
    await fill(one, 14, webhook=2)
    claims = await asyncio.gather(*(opened.claim_due(NOW, LATER, 10) for opened in (one, other)))
    claimed = {each.delivery.position: each for some in claims for each in some}
    assert sorted(claimed) == [12, 14]
    assert sum(map(len, claims)) == 2
    assert (claimed[12].webhook, claimed[12].secret) == (webhook(), "the secret")
    assert claimed[12].delivery == WebhookDelivery(
        claimed[12].delivery.number, 1, "post.created", 12, 1200, 0, BOB, 1200, NOW
    )
    assert await due(other) == []
    # A process that is at it renews its claim, and one that is gone doesn't.
    assert await other.extend_claim(2, LATER, LATER + 1)
    assert not await one.extend_claim(2, LATER, LATER + 2)
    assert [each.position for each in await due(other, LATER)] == [12]
    assert await one.extend_claim(1, LATER, LATER)
    assert [each.position for each in await due(other, LATER + 1)] == [12, 14]
    one.close()
    other.close()


async def test_a_delivery_that_is_done_lets_the_next_one_go(store: WebhookStore) -> None:
    await store.subscribe(webhook(), "s", 5, 9)
    await fill(store, 12, 13, 14)
    for position in (12, 13, 14):
        [head] = await due(store)
        assert head.position == position
        done = replace(
            head, state=DeliveryState.DELIVERED, attempts=1, tried_ms=NOW + 5, status=204
        )
        await store.settle(done, 0, 0)
        await store.settle(replace(done, state=DeliveryState.PENDING), 0, 0)  # it is done
    assert await due(store) == []
    [newest, *_] = await store.list_deliveries(1, PageRequest())
    assert (newest.state, newest.attempts, newest.tried_ms, newest.status) == (
        DeliveryState.DELIVERED, 1, NOW + 5, 204,
    )  # fmt: skip
    await store.forget_deliveries(NOW)
    assert len(await listed(store)) == 3
    await store.forget_deliveries(NOW + 1)
    assert await listed(store) == []


async def test_webhooks_of_apps_go_with_their_token(store: WebhookStore) -> None:
    of_app = webhook(2)._replace(app=70, token=700)
    assert await store.subscribe(webhook(1), "s", 5, 9)
    assert await store.subscribe(of_app, "s", 5, 9)
    assert await store.webhooks_of(ADA) == [webhook(1), of_app]
    changed = of_app._replace(token=701)
    assert await store.resubscribe(changed)
    assert not await store.unsubscribe(ADA, 2, 700)
    assert (await store.all_webhooks()).webhooks == [webhook(1), changed]
    assert await store.unsubscribe(ADA, 2, 701)
    assert await store.webhooks_of(ADA) == [webhook(1)]


async def test_the_webhooks_of_each_app_are_bounded_apart_from_their_users(
    store: WebhookStore,
) -> None:
    def of_app(id: int, app: int | None, user: int = ADA) -> Webhook:
        return webhook(id, user)._replace(app=app, token=None if app is None else 700)

    added = [
        await store.subscribe(of_app(id, app), "s", 2, 3)
        for id, app in enumerate((70, 70, 70, 80, 90, None, None, None))
    ]
    assert added == [True, True, False, True, False, True, True, False]
    assert await store.subscribe(of_app(8, 70, BOB), "s", 2, 3)
    assert await store.unsubscribe(ADA, 3)
    assert await store.subscribe(of_app(9, 90), "s", 2, 3)


async def test_an_endpoint_that_is_gone_ends_its_webhook_until_it_begins_anew(
    store: WebhookStore,
) -> None:
    await store.subscribe(webhook(), "s", 5, 9)
    await store.subscribe(webhook(2, BOB), "s", 5, 9)
    await fill(store, 12, 13, 14)
    await fill(store, 15, webhook=2)
    [head, other] = sorted(await due(store), key=lambda one: one.number)
    gone = replace(head, state=DeliveryState.FAILED, attempts=1, status=410, problem="it is gone")
    # What was tried is another address than it has by now.
    assert not await store.end_webhook(webhook(url="https://b.org/"), gone, NOW + 5)
    generation = (await store.all_webhooks()).generation
    assert await store.end_webhook(webhook(), gone, NOW + 5) == 3
    assert await store.end_webhook(webhook(), gone, NOW + 6) == 0
    ended = webhook()._replace(ended_ms=NOW + 5, reason="it is gone")
    assert (await store.all_webhooks()).webhooks == [ended, webhook(2, BOB)]
    assert not await store.enqueue([news(16)], 15, 16, generation, NOW)
    assert {state for _, state in await listed(store)} == {DeliveryState.FAILED}
    assert (await store.list_deliveries(1, PageRequest()))[-1] == gone
    assert await store.replay(1, head.number, NOW) is not None
    assert [one.webhook for one in await due(store, LATER)] == [2]
    assert other.webhook == 2
    assert await store.resubscribe(webhook(since=40))
    assert await store.webhooks_of(ADA) == [webhook(since=40)]
    assert await store.resubscribe(webhook(since=90))
    assert await store.webhooks_of(ADA) == [webhook(since=40)]
    assert {one.position for one in await due(store, LATER)} == {12, 15}


async def test_it_is_known_how_many_deliveries_wait_and_since_when(store: WebhookStore) -> None:
    assert await store.waiting_deliveries() == WaitingDeliveries(0, None)
    await store.subscribe(webhook(), "s", 5, 9)
    await fill(store, 12, 13)
    [head] = await due(store)
    await store.settle(replace(head, state=DeliveryState.DELIVERED), 0, 0)
    again = await store.replay(1, head.number, LATER)
    assert again is not None
    assert await store.waiting_deliveries() == WaitingDeliveries(2, NOW)


async def test_a_failed_try_is_repeated_before_the_next_delivery_and_given_up_in_the_end(
    store: WebhookStore,
) -> None:
    await store.subscribe(webhook(), "s", 5, 9)
    await fill(store, 12, 13)
    [head] = await due(store)
    tried = replace(head, attempts=1, tried_ms=NOW, status=500, problem="it answered 500")
    assert await store.settle(tried, NOW + 1000, NOW - 5) == 0
    assert await due(store, NOW + 999) == []
    assert await due(store, NOW + 1000, NOW) == [tried]
    # Another address is tried at once.
    assert await store.resubscribe(webhook(url="https://b.org/"))
    assert await due(store) == [tried]
    assert await store.settle(replace(tried, attempts=2), LATER, NOW + 1) == 2
    assert await listed(store) == [(13, DeliveryState.FAILED), (12, DeliveryState.FAILED)]
    assert await due(store, LATER) == []


async def test_what_is_done_can_be_replayed_behind_all_others(store: WebhookStore) -> None:
    await store.subscribe(webhook(), "s", 5, 9)
    await fill(store, 12, 13)
    [head] = await due(store)
    assert await store.replay(1, head.number, LATER) is None
    await store.settle(replace(head, state=DeliveryState.FAILED, attempts=9), 0, 0)
    again = await store.replay(1, head.number, LATER)
    assert again is not None
    assert again == replace(head, number=again.number, queued_ms=LATER)
    assert await store.replay(2, head.number, LATER) is None
    assert await store.replay(1, 10**18, LATER) is None
    assert [position for position, _ in await listed(store)] == [12, 13, 12]
    numbers = [one.number for one in await store.list_deliveries(1, PageRequest())]
    assert numbers == sorted(numbers, reverse=True)
    assert await listed(store, limit=1, max_id=numbers[0]) == [(13, DeliveryState.PENDING)]
    assert await listed(store, limit=1, min_id=numbers[2]) == [(13, DeliveryState.PENDING)]


async def test_a_webhook_that_is_removed_leaves_nothing(open_store: Open) -> None:
    one, other = open_store(), open_store()
    await one.subscribe(webhook(), "s", 5, 9)
    await fill(one, 12)
    [head] = await due(one)
    assert await other.unsubscribe(ADA, 1)
    await one.settle(replace(head, state=DeliveryState.DELIVERED), 0, 0)
    assert await one.list_deliveries(1, PageRequest()) == []
    assert await due(other, LATER) == []
    one.close()
    other.close()


async def test_another_log_is_followed_from_where_its_follower_says(store: WebhookStore) -> None:
    await store.subscribe(webhook(since=500), "s", 5, 9)
    await store.follow_from(FollowedPosition(LOG, 10))
    assert (await store.all_webhooks()).webhooks == [webhook(since=500)]
    await store.follow_from(FollowedPosition("cd" * 16, 20))
    assert await store.followed_position() == FollowedPosition("cd" * 16, 20)
    assert (await store.all_webhooks()).webhooks == [webhook(since=20)]


async def test_a_file_of_before_apps_had_webhooks_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "webhooks.sqlite"
    first = FileSchema(WEBHOOKS_SCHEMA.steps[:1]).open_private(path, ERASING_PRAGMAS)
    first.execute(
        "INSERT INTO webhooks VALUES (1, 7, 'https://a.org/', 'post.created', 10, 's', 0, 0)"
    )
    first.close()
    store = SqliteWebhooks(path)
    assert await store.webhooks_of(ADA) == [webhook()]
    store.close()


async def test_files_that_are_none_are_said(tmp_path: Path) -> None:
    (tmp_path / "webhooks.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(WebhooksUnavailable, match="not a database"):
        SqliteWebhooks(tmp_path / "webhooks.sqlite")
