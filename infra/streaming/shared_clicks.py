"""The clicks of all machines, brought together in MongoDB, through a topic where there is Kafka."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final

from api.clicks.click_log import ClickError
from api.clicks.click_publisher import ClickChunk, SharedClicks
from infra.mongodb.async_database import BlockingDatabase
from infra.mongodb.click_figures import MongoClickFigures
from infra.mongodb.connection import WRITE_SECONDS, open_blocking_database
from infra.settings import Settings
from streams.feed.relay import FeedUnavailable

RETRY_SECONDS: Final = 5.0

_logger = logging.getLogger(__name__)


@contextmanager
def open_shared_clicks(settings: Settings) -> Iterator[SharedClicks]:
    """Where a machine publishes its clicks, and the figures of all; connects when first used."""
    with (
        open_blocking_database(settings.views, WRITE_SECONDS) as database,
        closing(MongoClickFigures(database, settings.clicks_days)) as figures,
    ):
        if settings.kafka is None:
            yield SharedClicks(figures, figures)
            return
        from infra.kafka.click_topic import KafkaClickFeed, topic_of_clicks

        topic = topic_of_clicks(database.name, settings.clicks_days)
        with closing(KafkaClickFeed(settings.kafka, topic)) as feed:
            yield SharedClicks(feed, figures)


def start_click_projector(settings: Settings, servers: str, database: BlockingDatabase) -> None:
    """Count the clicks of the topic in a thread, for as long as the process runs."""
    threading.Thread(
        target=project_clicks, args=(settings, servers, database), name="clicks", daemon=True
    ).start()


def project_clicks(
    settings: Settings,
    servers: str,
    database: BlockingDatabase,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Count the clicks of the topic until `stopped`, again and again where an engine is away."""
    from infra.kafka.click_topic import follow_clicks, topic_of_clicks

    topic = topic_of_clicks(database.name, settings.clicks_days)
    wait = threading.Event()
    with (
        closing(MongoClickFigures(database, settings.clicks_days)) as figures,
        asyncio.Runner() as runner,
    ):

        def count(chunk: ClickChunk) -> None:
            runner.run(figures.publish(chunk))

        while not stopped():
            try:
                follow_clicks(servers, topic, count, stopped)
            except (FeedUnavailable, ClickError) as error:
                _logger.warning("clicks are counted later: %s", error)
                wait.wait(RETRY_SECONDS)
