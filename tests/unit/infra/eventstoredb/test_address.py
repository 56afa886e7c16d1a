"""Addresses of EventStoreDB: what they may say, and how those that can't be meant are refused."""

from pathlib import Path

import pytest

from infra.eventstoredb.address import BadAddress, Endpoint, parse_address


def test_an_address_says_where_the_nodes_are_and_how_to_speak_with_them(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    address = parse_address(
        "kurrentdb+discover://ops:p%40ss@one:1113,[::1],three.example/feed_1?tls=true"
        f"&tlsCaFile={authority}&tlsVerifyCert=false&keepAliveInterval=5000&keepAliveTimeout=700"
        "&NODEPREFERENCE=Leader&defaultDeadline=1500&connectionName=feed"
    )
    assert address.endpoints == (
        Endpoint("one", 1113),
        Endpoint("::1", 2113),
        Endpoint("three.example", 2113),
    )
    assert (address.user, address.password) == ("ops", "p@ss")
    assert (address.namespace, address.discover) == ("feed_1", True)
    assert (address.tls, address.tls_verify, address.tls_ca_file) == (True, False, authority)
    assert (address.keep_alive_interval, address.keep_alive_timeout) == (5.0, 0.7)
    assert address.deadline == 1.5


def test_a_short_address_means_one_node_with_tls() -> None:
    address = parse_address("esdb://localhost")
    assert address.endpoints == (Endpoint("localhost", 2113),)
    assert (address.tls, address.discover, address.user) == (True, False, None)
    assert address.namespace == "starling"


def test_several_nodes_are_asked_for_their_leader() -> None:
    assert parse_address("esdb://a,b").discover
    assert parse_address("esdb+discover://a").discover


def test_a_keep_alive_of_minus_one_means_none() -> None:
    assert parse_address("esdb://a?keepAliveInterval=-1").keep_alive_interval is None


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("http://a", "begins with"),
        ("esdb:a", "begins with"),
        ("esdb://", "must name a host"),
        ("esdb://a,,b", "must name a host"),
        ("esdb://a:99999", "a port that is none"),
        ("esdb://a/b-c", "namespace"),
        ("esdb://a?tls=maybe", "tls must be true or false"),
        ("esdb://a?tlsCaFile=/no/such/file", "names no file"),
        ("esdb://a?keepAliveInterval=soon", "milliseconds"),
        ("esdb://a?maxDiscoverAttempts=0", "above 0"),
        ("esdb://a?nodePreference=follower", "must be leader"),
        ("esdb://a?userCertFile=/dev/null", "names no file"),
        ("esdb://a?colour=red", "unknown parameter"),
        ("esdb://a#b", "behind #"),
        ("esdb://joe@a", "user:password"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_in_one_line(text: str, because: str) -> None:
    with pytest.raises(BadAddress, match=because) as refused:
        parse_address(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "esdb://joe:s3cret@a/b-c",
        "esdb://joe:s3cret@a:99999",
        "esdb://joe:s3cret@a?password=s3cret",
        "esdb://joe:s3cret@",
        "esdb://:s3cret@a",
        "esdb://joe:s3cret/x@a",
        "other://joe:s3cret@a",
    ],
)
def test_no_refusal_repeats_a_secret(text: str) -> None:
    with pytest.raises(BadAddress) as refused:
        parse_address(text)
    assert "s3cret" not in str(refused.value)


def test_an_address_shows_no_user_and_no_password() -> None:
    address = parse_address("esdb://joe:s3cret@a:1,b/feed")
    assert str(address) == "esdb://a:1,b:2113/feed"
    assert "s3cret" not in repr(address)
