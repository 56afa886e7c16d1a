"""What is deleted can't be read in the topic, nor in MongoDB."""

from pathlib import Path

import pytest

from infra.dev.kafka_broker import KafkaBroker
from infra.dev.mongodb_server import MongoServer
from infra.kafka.topic import ensure_topic
from infra.log_of_record import open_log
from infra.mongodb.connection import WRITE_SECONDS, open_blocking_database
from infra.settings import Settings
from tests.support.engines.kafka_topics import fresh_topic, read_lines
from tests.support.engines.mongodb_views import fresh_address
from tests.support.engines.streaming_stack import StreamingStack
from tests.support.erased_texts import KEPT, WRITTEN, Writers, readable_texts, wait_until_erased
from tests.support.running_server import running_server, send_request
from tests.support.starling_program import starling

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]


def all_documents(settings: Settings) -> str:
    """Every document of every collection of the views' database."""
    with open_blocking_database(settings.views, WRITE_SECONDS) as database:
        return "\n".join(
            str(document)
            for name in database.list_collection_names()
            for document in database[name].find()
        )


async def test_neither_engine_holds_a_readable_text(
    kafka: KafkaBroker, mongodb: MongoServer, tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path / "data", kafka=kafka.address, views=fresh_address(mongodb))
    stack = StreamingStack(settings, fresh_topic(2))
    ensure_topic(kafka.address, stack.topic)
    with (
        running_server(settings.data, STARLING_VIEWS=settings.views) as server,
        stack.running_relay(),
        stack.running_worker(),
    ):
        writers = Writers(server)
        await writers.write()
        with open_log(settings) as log:
            await stack.wait_until_projected(log.head())
        shown = await send_request(server, "GET", f"/v1/posts/{writers.post}")
        assert shown.json()["text"] in WRITTEN
        documents = all_documents(settings)
        assert "sealed." in documents
        assert not any(text in documents for text in (*WRITTEN, KEPT))
        await writers.delete()
        await wait_until_erased(settings.data)
        with open_log(settings) as log:
            await stack.wait_until_projected(log.head())
        kept = await send_request(server, "GET", f"/v1/posts/{writers.kept}")
        assert kept.json()["text"] == KEPT
    lines = b"\n".join(read_lines(kafka.address, stack.topic)).decode()
    assert "sealed." in lines
    assert not any(text in lines for text in (*WRITTEN, KEPT))
    from_topic = starling(
        "replay", "--source", "kafka", "--topic", stack.topic.name, "--data", settings.data,
        STARLING_KAFKA=kafka.address,
    )  # fmt: skip
    assert from_topic.stdout.decode() == readable_texts(settings.data), from_topic.stderr
    documents = all_documents(settings)
    assert not any(text in documents for text in WRITTEN)
