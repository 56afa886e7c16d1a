"""The log in EventStoreDB and its node: TLS, users, silence, other tenants, and streams that an
administrator shortened."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from events.event_filter import read_pages
from events.log import LOG_START, EventLog, LogUnavailable
from infra.eventstoredb import event_log
from infra.eventstoredb.open_log import open_event_store_log
from tests.support.log_adapters import FIRST_ID, all_event_keys, like_append, post_append
from tests.support.waiting import wait_until

pytest.importorskip("infra.eventstoredb.client_package")

from infra.eventstoredb.event_log import EventStoreLog
from tests.standins.event_store import Proposed
from tests.standins.event_store_node import EventStoreNode

USERS = {"feed": "s3cret@:/"}
LOGIN = "feed:s3cret%40%3A%2F@"


@pytest.fixture(scope="module")
def node() -> Iterator[EventStoreNode]:
    with EventStoreNode(users=USERS) as node:
        yield node


@pytest.fixture
def log(node: EventStoreNode, tmp_path: Path) -> Iterator[EventLog]:
    with closing(open_log(node, tmp_path, tmp_path.name[-50:])) as log:
        yield log


def open_log(
    node: EventStoreNode, folder: Path, namespace: str = "starling", *, login: str = LOGIN
) -> EventLog:
    namespace = "".join(filter(str.isalnum, namespace))
    address = f"esdb://{login}127.0.0.1:{node.port}/{namespace}?tls=false&defaultDeadline=1000"
    return open_event_store_log(address, folder / "ids.sqlite")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate that it signed itself, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "node.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


async def test_a_log_is_reached_through_tls_by_whom_its_certificate_convinces(
    certificate: Path, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2"])
    with EventStoreNode(tls=context) as node:
        address = f"esdb://127.0.0.1:{node.port}?defaultDeadline=1000"
        for trusting in (f"&tlsCaFile={certificate}", "&tlsVerifyCert=false"):
            opened = open_event_store_log(f"{address}{trusting}", tmp_path / "ids.sqlite")
            with closing(opened) as log:
                await log.append(like_append("like-1-1", len(log.read_stream("like-1-1")), 1))
        with pytest.raises(LogUnavailable, match="certificate"):
            open_event_store_log(address, tmp_path / "ids.sqlite")


@pytest.mark.parametrize("login", ["", "feed:wrong@", "joe:s3cret%40%3A%2F@"])
def test_a_user_whom_the_node_does_not_know_is_refused_at_once(
    node: EventStoreNode, tmp_path: Path, login: str
) -> None:
    with pytest.raises(LogUnavailable, match=r"(Access Denied|Not Authenticated)") as told:
        open_log(node, tmp_path, login=login)
    assert "s3cret" not in str(told.value)
    assert "wrong" not in str(told.value)


async def test_logs_on_one_server_do_not_see_one_another(
    node: EventStoreNode, tmp_path: Path
) -> None:
    with (
        closing(open_log(node, tmp_path, "one")) as one,
        closing(open_log(node, tmp_path, "one1")) as other,
    ):
        await one.append(post_append(1, key="k"))
        assert other.head() == LOG_START
        assert other.read_all() == other.read_all(types=["post-created"]) == []
        assert other.event_at(one.head()) is None
        assert other.idempotency_result("k") is None
        await other.append(post_append(1, key="k"))
        assert len(one.read_all()) == len(other.read_all()) == 1
        assert one.identity != other.identity


async def test_long_streams_and_logs_are_read_in_pages(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "EVENTS_PER_READ", 3)
    for start in range(0, 12, 4):
        await log.append(like_append("like-1-1", start, *range(start + 1, start + 5)))
        await log.append(post_append(100 + start, key=f"k{start}"))
    likes = [e for e in log.read_all() if e.type == "post-liked"]
    assert [e.id - FIRST_ID for e in likes] == list(range(1, 13))
    assert log.read_stream("like-1-1") == likes
    assert log.read_all(types=["post-liked"]) == likes
    assert log.read_all(likes[2].position, types=["post-liked"], limit=7) == likes[3:10]
    assert len(log.read_all()) == 15


async def test_the_newest_id_is_looked_for_where_it_nearly_always_is(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "NEWEST_EVENTS", 3)
    for number in (5, 90, 1, 2, 3):
        await log.append(post_append(number))
    assert log.newest_id() == FIRST_ID + 3
    assert log.newest_id(below=FIRST_ID + 3) == FIRST_ID + 2
    assert log.newest_id(below=FIRST_ID + 1) == 0
    await log.append(post_append(95))
    assert log.newest_id() == FIRST_ID + 95


async def test_a_stream_that_was_deleted_is_gone_and_says_so_when_it_is_written(
    node: EventStoreNode, log: EventLog
) -> None:
    assert isinstance(log, EventStoreLog)
    await log.append(like_append("like-1-1", 0, 1))
    node.store.delete(log._names.of_stream("like-1-1"), 0, for_good=True)
    with pytest.raises(LogUnavailable, match="its stream was deleted"):
        await log.append(like_append("like-1-1", 1, 2))
    with pytest.raises(LogUnavailable, match="deleted"):
        log.read_stream("like-1-1")
    await log.append(post_append(1))
    assert log.write_problem() is None


async def test_reads_pass_over_what_is_left_of_a_deleted_stream_and_miss_nothing_behind_it(
    node: EventStoreNode, log: EventLog
) -> None:
    assert isinstance(log, EventStoreLog)
    await log.append(like_append("like-1-1", 0, 1))
    node.store.delete(log._names.of_stream("like-1-1"), 0, for_good=True)
    await asyncio.gather(*(log.append(post_append(number)) for number in range(2, 6)))
    head = log.head()
    for limit in range(1, 6):
        pages = read_pages(log, LOG_START, head, limit=limit)
        read = [event.id - FIRST_ID for page in pages for event in page.events]
        assert read == [1, 2, 3, 4, 5], f"{limit} at a time"


async def test_a_deletion_does_not_look_like_an_event_to_readers_that_wait(
    node: EventStoreNode, log: EventLog
) -> None:
    assert isinstance(log, EventStoreLog)
    await log.append(like_append("like-1-1", 0, 1))
    head = log.head()
    waiting = asyncio.ensure_future(log.wait_for_events(head, 0.5))
    await wait_until(lambda: len(node.store._listeners) == 1)
    node.store.delete(log._names.of_stream("like-1-1"), 0, for_good=True)
    node.store.append("$stats", -1, [Proposed("u", "$tick", "application/json", b"", b"{}")])
    assert not await waiting
    assert not await log.wait_for_events(head, 0.05)


async def test_an_append_that_the_node_finds_too_large_is_refused_at_once(log: EventLog) -> None:
    with pytest.raises(LogUnavailable, match="Maximum Append Size"):
        await log.append(post_append(1, text="x" * (1 << 21)))
    await log.append(post_append(2))
    assert [id - FIRST_ID for id, *_ in all_event_keys(log)] == [2]


async def test_an_event_that_no_starling_wrote_is_named(
    node: EventStoreNode, log: EventLog
) -> None:
    assert isinstance(log, EventStoreLog)
    stream = log._names.of_stream("post-1")
    node.store.append(stream, -1, [Proposed("u", "strange", "application/json", b"", b"{}")])
    with pytest.raises(Exception, match="post-1 holds an event that no Starling wrote"):
        log.read_all()


async def test_a_reader_that_waits_costs_the_node_a_subscription_only_while_it_waits(
    node: EventStoreNode, log: EventLog
) -> None:
    listening = node.store._listeners
    waiting = [asyncio.ensure_future(log.wait_for_events(LOG_START, 30)) for _ in range(3)]
    await wait_until(lambda: len(listening) == 1)
    await log.append(post_append(1))
    assert await asyncio.gather(*waiting) == [True] * 3
    await wait_until(lambda: not listening)
    assert not await log.wait_for_events(log.head(), 0.05)


async def test_an_append_that_cannot_be_sent_is_an_error_of_its_own(log: EventLog) -> None:
    made = post_append(1)
    write = made.writes[0]._replace(stream="post-\ud800")
    with pytest.raises(UnicodeEncodeError):
        await log.append(replace(made, writes=(write,)))
    await log.append(post_append(2))
    assert [id - FIRST_ID for id, *_ in all_event_keys(log)] == [2]
