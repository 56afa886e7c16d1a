"""`starling relay` as an operator runs it."""

import signal
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from events.json_lines import render_line
from infra.dev.kafka_broker import KafkaBroker
from infra.kafka.topic import FeedTopic
from infra.sqlite.event_log import SqliteLog
from tests.support.engines.kafka_topics import fresh_topic, read_lines
from tests.support.engines.relays import publish_log
from tests.support.made_up_events import append_made_up
from tests.support.starling_program import STARLING, killed_at_exit, starling, starling_environment
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(180)]


def relay(
    data: Path, servers: str, topic: FeedTopic, output: Path
) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    """The program; killed at the end of the block if it still runs. `said` gets what it writes."""
    options = ("--topic", topic.name, "--partitions", "3", "--data", data)
    env = starling_environment(STARLING_KAFKA=servers)
    return killed_at_exit([STARLING, "relay", *options], env, output)


async def test_one_relay_publishes_and_another_takes_over_when_it_is_killed(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    topic, data = fresh_topic(), tmp_path / "data"
    data.mkdir()
    log = SqliteLog(data / "log.sqlite")
    one, two = tmp_path / "one", tmp_path / "two"
    await append_made_up(log, 0, 500)
    with relay(data, kafka.address, topic, one) as first:
        await wait_until(lambda: "publishing" in one.read_text())
        with relay(data, kafka.address, topic, two) as second:
            await wait_until(lambda: "standing by" in two.read_text())
            first.send_signal(signal.SIGKILL)
            await append_made_up(log, 500, 1000)
            await wait_until(lambda: "publishing" in two.read_text())
            await wait_until(lambda: len(read_lines(kafka.address, topic)) == 1000)
            second.send_signal(signal.SIGTERM)
            assert second.wait(PATIENCE_SECONDS) == 0
    assert "published up to position 1000" in two.read_text()
    assert read_lines(kafka.address, topic) == [render_line(e) for e in log.read_all(limit=2000)]


async def test_a_replay_from_kafka_is_byte_for_byte_that_of_the_log(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    topic, log = fresh_topic(4), SqliteLog(tmp_path / "log.sqlite")
    await append_made_up(log, 0, 3000)
    await publish_log(log, kafka.address, topic)
    for chosen in ((), ("--type", "post-liked", "--after", "1500"), ("--format", "csv")):
        replay = ("replay", "--data", tmp_path, *chosen)
        of_log = starling(*replay)
        from_kafka = ("--source", "kafka", "--topic", topic.name)
        of_kafka = starling(*replay, *from_kafka, STARLING_KAFKA=kafka.address)
        assert of_kafka.returncode == of_log.returncode == 0, of_kafka.stderr
        assert of_kafka.stdout == of_log.stdout
        assert of_log.stdout.count(b"\n") > 500


def test_without_a_kafka_it_says_which_setting_is_missing(tmp_path: Path) -> None:
    done = starling("relay", "--data", tmp_path)
    assert (done.returncode, b"STARLING_KAFKA" in done.stderr) == (2, True)
