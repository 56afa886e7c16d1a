"""Real engines for the tests, one of each, started when the first test asks for it."""

from collections.abc import Iterator

import pytest

from infra.engines.engine import EngineMissing, running
from infra.engines.kafka import KafkaBroker
from tests.outside import missing


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One broker for all tests: each uses topics of its own. Whoever kills it starts it again."""
    try:
        with running(KafkaBroker(tmp_path_factory.mktemp("kafka"))) as broker:
            yield broker
    except EngineMissing as error:
        missing(f"Kafka ({error})")
