"""What `STARLING_KAFKA` may be, and what is never shown of it."""

import pytest

from infra.kafka.topic import client_options
from streams.feed.kafka_address import InvalidKafkaAddress, KafkaAddress


def test_servers_alone_need_no_password() -> None:
    assert KafkaAddress.parse("a:9092, b:9092") == KafkaAddress(("a:9092", "b:9092"))
    assert KafkaAddress.parse("kafka://a:9092,b:9092/") == KafkaAddress(("a:9092", "b:9092"))


def test_an_address_has_credentials_and_says_how_they_are_used() -> None:
    text = "kafka://ada:p%40ss%2Fword@a:9092,b:9092?mechanism=SCRAM-SHA-512&tls=true"
    address = KafkaAddress.parse(text)
    assert address == KafkaAddress(("a:9092", "b:9092"), "ada", "p@ss/word", "SCRAM-SHA-512", True)
    options = client_options(text)
    assert options["bootstrap_servers"] == ["a:9092", "b:9092"]
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("ada", "p@ss/word")


def test_no_password_is_shown() -> None:
    address = KafkaAddress.parse("kafka://ada:sesame@a:9092")
    assert str(address) == "a:9092"
    assert "sesame" not in repr(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada:sesame@a:9092",
        "http://a:9092",
        "kafka://ada@a:9092",
        "kafka://:sesame@a:9092",
        "kafka://ada:sesame@",
        "kafka://ada:sesame@a:9092?mechanism=MD5",
        "kafka://ada:sesame@a:9092?tls=maybe",
        "kafka://ada:sesame@a:9092?password=sesame",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidKafkaAddress) as refused:
        KafkaAddress.parse(text)
    assert "sesame" not in str(refused.value)
