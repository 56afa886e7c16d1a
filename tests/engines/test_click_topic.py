"""Clicks of two machines by way of Kafka into MongoDB."""

import asyncio
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from api.clicks.click_log import Click, PostReads
from api.clicks.click_publisher import ClickPublisher
from infra.dev.kafka_broker import KafkaBroker
from infra.dev.mongodb_server import MongoServer
from infra.kafka.click_topic import KafkaClickFeed, topic_of_clicks
from infra.kafka.feed import create_producer
from infra.mongodb.connection import WRITE_SECONDS, open_blocking_database
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.sqlite.click_log import SqliteClickLog
from infra.streaming.shared_clicks import open_shared_clicks, project_clicks
from projections.distinct_count import Estimate
from tests.support.engines.mongodb_views import fresh_address
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(180)]

NOW = clock_ms()
ALL = range(1 << 40)


def view(post: int, session: int) -> Click:
    return Click(NOW, NOW, session, None, post, None, "view", None, None)


async def test_figures_are_those_of_all_machines_also_where_a_chunk_is_sent_twice(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path, kafka=kafka.address, views=fresh_address(mongodb))
    stop = threading.Event()
    with ExitStack() as opened:
        shared = opened.enter_context(open_shared_clicks(settings))
        database = opened.enter_context(open_blocking_database(settings.views, WRITE_SECONDS))
        publishers = []
        for number in (0, 1):
            folder = tmp_path / f"machine-{number}"
            folder.mkdir()
            log = opened.enter_context(closing(SqliteClickLog(folder / "clicks.sqlite")))
            publishers.append(ClickPublisher(log, shared.feed, b"k"))
        assert isinstance(shared.feed, KafkaClickFeed)
        projector = threading.Thread(
            target=project_clicks, args=(settings, kafka.address, database, stop.is_set)
        )
        projector.start()
        try:
            for number, publisher in enumerate(publishers):
                await publisher.log.append_clicks([view(5, number), view(6, 9)])
                await publisher.catch_up()
            topic = topic_of_clicks(database.name, settings.clicks_days)
            with closing(create_producer(kafka.address)) as producer:
                producer.send(topic.name, b"no chunk", partition=0).get(10)
            await publishers[0].log.note_published(0)  # as if it had been killed before this
            await publishers[0].log.append_clicks([view(5, 3)])
            await publishers[0].catch_up()
            expected = [PostReads(5, 3), PostReads(6, 2)]
            logs = database.get_collection("click_logs")
            await wait_until(lambda: sorted(one["through"] for one in logs.find()) == [2, 3])
            assert await shared.figures.most_read_posts(ALL, 9) == expected
            assert await shared.figures.viewers_of_post(5) == Estimate(3)
            assert await shared.figures.viewers_of_post(6) == Estimate(1)
        finally:
            stop.set()
            await asyncio.to_thread(projector.join)
        database.client.drop_database(database.name)
