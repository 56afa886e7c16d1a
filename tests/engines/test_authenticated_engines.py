"""Engines that ask for a password: without it nothing is read, with it they are as any other."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaError
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from infra.dev.kafka_broker import KafkaBroker
from infra.dev.local_engine import EngineMissing, LocalEngine, running_engine
from infra.dev.mongodb_server import MongoServer
from infra.kafka.topic import FeedTopic, ensure_topic, partition_numbers
from streams.feed.kafka_address import KafkaAddress
from streams.feed.relay import FeedUnavailable
from tests.support.requirements import skip_or_fail

pytestmark = [pytest.mark.engines, pytest.mark.timeout(180)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "engine"


@pytest.fixture
def server(folder: Path) -> Iterator[MongoServer]:
    try:
        with running_engine(MongoServer(folder, authenticated=True)) as server:
            yield server
    except EngineMissing as error:
        skip_or_fail(f"MongoDB ({error})")


@pytest.fixture
def broker(folder: Path) -> Iterator[KafkaBroker]:
    try:
        with running_engine(KafkaBroker(folder, authenticated=True)) as broker:
            yield broker
    except EngineMissing as error:
        skip_or_fail(f"Kafka ({error})")


def secrets_in(folder: Path) -> list[str]:
    names = ("password", "admin-password", "broker-password", "keyfile")
    return [(folder / name).read_text() for name in names if (folder / name).exists()]


def check_that_nothing_is_open(engine: LocalEngine, folder: Path) -> None:
    """Files are their user's alone, and no secret stands on a command line or in a log."""
    assert engine.pid is not None
    command = psutil.Process(engine.pid).cmdline()
    log = "".join(file.read_text(errors="replace") for file in folder.glob("*.log"))
    for secret in secrets_in(folder):
        assert len(secret) == 64
        assert secret not in " ".join(command)
        assert secret not in log
    written = [file for file in folder.rglob("*") if not file.is_symlink()]
    assert [file for file in written if stat.S_IMODE(file.stat().st_mode) & 0o077] == []


def test_mongodb_answers_those_with_its_password_and_no_other(
    server: MongoServer, folder: Path
) -> None:
    with MongoClient[dict[str, Any]](server.address()) as client:
        client.starling.things.insert_one({"name": "kept"})
        with pytest.raises(OperationFailure, match="not authorized"):
            client.elsewhere.things.insert_one({"name": "foreign"})
    for wrong in ("", "starling:wrong@"):
        place = server.address().partition("@")[2]
        with (
            MongoClient[dict[str, Any]](f"mongodb://{wrong}{place}") as client,
            pytest.raises(OperationFailure, match=r"(?i)authentication"),
        ):
            client.starling.things.find_one()
    server.kill()
    server.start()
    with MongoClient[dict[str, Any]](server.address()) as client:
        assert client.starling.things.count_documents({}) == 1
    check_that_nothing_is_open(server, folder)


def test_mongodb_that_had_no_password_gets_one_and_keeps_its_data(folder: Path) -> None:
    try:
        open_one = MongoServer(folder)
    except EngineMissing as error:
        skip_or_fail(f"MongoDB ({error})")
    with running_engine(open_one), MongoClient[dict[str, Any]](open_one.address()) as client:
        client.starling.things.insert_one({"name": "kept"})
    closed = MongoServer(folder, authenticated=True)
    with running_engine(closed), MongoClient[dict[str, Any]](closed.address()) as client:
        assert client.starling.things.count_documents({}) == 1


def test_kafka_answers_those_with_its_password_and_no_other(
    broker: KafkaBroker, folder: Path
) -> None:
    topic = FeedTopic("kept", 2)
    ensure_topic(broker.address, topic)
    assert partition_numbers(broker.address, "kept") == [0, 1]
    servers = str(KafkaAddress.parse(broker.address))
    wrong = f"kafka://starling:wrong@{servers}"
    for refused in (servers, wrong):
        with pytest.raises(FeedUnavailable) as error:
            partition_numbers(refused, "kept")
        assert "wrong" not in str(error.value)
    with pytest.raises(KafkaError):
        KafkaConsumer("kept", bootstrap_servers=servers, bootstrap_timeout_ms=3000)
    check_that_nothing_is_open(broker, folder)
