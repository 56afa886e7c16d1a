"""The broker that tests and `make up` run."""

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from infra.dev.kafka_broker import KafkaBroker

pytestmark = [pytest.mark.engines, pytest.mark.timeout(180)]


def test_a_killed_broker_comes_back_where_it_was_with_what_it_acknowledged(
    kafka: KafkaBroker,
) -> None:
    address, pid = kafka.address, kafka.pid
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic("kept", 1, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=address, acks="all")
    producer.send("kept", b"one").get(30)

    kafka.kill()
    assert kafka.pid is None
    kafka.start()
    assert kafka.address == address
    assert kafka.pid != pid

    producer.send("kept", b"two").get(60)
    producer.close()
    with KafkaConsumer(
        "kept", bootstrap_servers=address, auto_offset_reset="earliest", consumer_timeout_ms=20_000
    ) as consumer:
        assert [next(consumer).value for _ in range(2)] == [b"one", b"two"]
