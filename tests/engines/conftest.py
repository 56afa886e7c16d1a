"""Real engines for the tests, one of each, started when the first test asks for it."""

from collections.abc import Iterator
from typing import get_args

import pytest

from infra.dev.kafka_broker import KafkaBroker
from infra.dev.local_engine import EngineMissing, running_engine
from infra.settings import MongoDriver
from tests.support.requirements import skip_or_fail


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One broker for all tests, each with topics of its own; who kills it starts it again."""
    try:
        with running_engine(KafkaBroker(tmp_path_factory.mktemp("kafka"))) as broker:
            yield broker
    except EngineMissing as error:
        skip_or_fail(f"Kafka ({error})")


@pytest.fixture(params=get_args(MongoDriver))
def mongo_driver(request: pytest.FixtureRequest) -> MongoDriver:
    """What waits for MongoDB in the event loop: each in turn."""
    driver: MongoDriver = request.param
    return driver
