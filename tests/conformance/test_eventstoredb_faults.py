"""The log in EventStoreDB, while its node, or the way to it, fails: nothing is lost, nothing twice.

Against the stand-in, which fails as it is told to.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from events.log import (
    LOG_START,
    AppendResult,
    IdempotencyKeyReused,
    LogReplaced,
    LogUnavailable,
    WrongVersion,
)
from infra.eventstoredb.open_log import open_event_store_log
from streams.export.verify import verify_log
from tests.support.event_store import ADDRESS_FILE
from tests.support.log_adapters import FIRST_ID, all_event_keys, like_append, post_append
from tests.support.requirements import REPOSITORY
from tests.support.waiting import wait_until

pytest.importorskip("infra.eventstoredb.client_package")

from infra.eventstoredb.event_log import EventStoreLog
from tests.standins.event_store_node import FOLLOWER, LEADER, EventStoreNode, EventStoreProcess
from tests.standins.node_faults import Fault

DEADLINE_MS = 400
"""Of one try; an append has three times as long."""
PASSING = [Fault.ANSWER_LOST, Fault.CUT, Fault.SILENT, Fault.DEAF, Fault.BUSY, Fault.TIMED_OUT]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[EventStoreNode]:
    with EventStoreNode(tmp_path / "node.log") as node:
        yield node


@pytest.fixture
def log(node: EventStoreNode, tmp_path: Path) -> Iterator[EventStoreLog]:
    with closing(open_log(node.address, tmp_path)) as log:
        yield log


def open_log(
    address: str, folder: Path, *, read_only: bool = False, deadline_ms: int = DEADLINE_MS
) -> EventStoreLog:
    address = f"{address}&defaultDeadline={deadline_ms}"
    log = open_event_store_log(address, folder / "ids.sqlite", read_only=read_only)
    assert isinstance(log, EventStoreLog)
    return log


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
@pytest.mark.parametrize("key", [None, "k"])
async def test_an_append_that_meets_a_fault_happens_once(
    node: EventStoreNode, log: EventStoreLog, fault: Fault, key: str | None
) -> None:
    node.faults.appends.extend([fault, None, fault])
    done = await asyncio.gather(
        log.append(post_append(1, key=key)), log.append(post_append(2)), log.append(post_append(3))
    )
    assert not any(result.replayed for result in done)
    assert sorted(id - FIRST_ID for id, *_ in all_event_keys(log)) == [1, 2, 3]
    assert {result.position for result in done} == {e.position for e in log.read_all()}
    assert log.write_problem() is None


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.DEAF, Fault.BUSY], ids=lambda fault: fault.name)
async def test_a_read_that_meets_a_fault_is_made_again(
    node: EventStoreNode, log: EventStoreLog, fault: Fault
) -> None:
    done = await log.append(post_append(1))
    node.faults.reads.append(fault)
    assert log.head() == done.position
    node.faults.reads.append(fault)
    assert len(log.read_all()) == 1


async def test_a_node_that_stays_away_is_said_to_be_unavailable_until_it_is_back(
    node: EventStoreNode, log: EventStoreLog
) -> None:
    await log.append(post_append(1))
    node.stop()
    with pytest.raises(LogUnavailable):
        await log.append(post_append(2))
    assert "cannot connect" in str(log.write_problem())
    with pytest.raises(LogUnavailable):
        log.head()
    node.start()
    await wait_until(lambda: log.write_problem() is None)
    await log.append(post_append(3))
    assert {1, 3} <= {id - FIRST_ID for id, *_ in all_event_keys(log)}


async def test_a_busy_node_is_the_problem_of_writing(
    node: EventStoreNode, log: EventStoreLog
) -> None:
    node.faults.always = Fault.BUSY
    with pytest.raises(LogUnavailable):
        await log.append(post_append(1))
    assert "Too Busy" in str(log.write_problem())
    node.faults.always = None
    await log.append(post_append(2))
    assert log.write_problem() is None
    assert [id - FIRST_ID for id, *_ in all_event_keys(log)] == [2]


async def test_a_restart_of_the_node_loses_and_repeats_none_of_twenty_appends_under_way(
    node: EventStoreNode, log: EventStoreLog
) -> None:
    node.faults.delay = 0.2
    appends = [
        post_append(number, key=f"k{number}" if number % 4 else None) for number in range(20)
    ]
    under_way = [asyncio.ensure_future(log.append(append)) for append in appends]
    await asyncio.sleep(0.1)
    await asyncio.to_thread(node.stop)
    node.faults.delay = 0
    await asyncio.to_thread(node.start)
    done = await asyncio.gather(*under_way)
    assert [result.result_id - FIRST_ID for result in done] == list(range(20))
    assert sorted(id - FIRST_ID for id, *_ in all_event_keys(log)) == list(range(20))


async def test_a_killed_node_comes_back_with_all_that_was_answered(tmp_path: Path) -> None:
    with (
        EventStoreProcess(tmp_path / "node.log") as node,
        # Python takes its time to start again.
        closing(open_log(node.address, tmp_path, deadline_ms=10_000)) as log,
    ):
        under_way = [asyncio.ensure_future(log.append(post_append(n))) for n in range(200)]
        await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.to_thread(node.kill)
        await asyncio.to_thread(node.start)
        done = await asyncio.gather(*under_way)
        assert [result.result_id - FIRST_ID for result in done] == list(range(200))
        assert {result.position for result in done} == {e.position for e in log.read_all()}


async def test_a_process_that_dies_between_claim_and_events_leaves_its_decision(
    node: EventStoreNode, log: EventStoreLog, tmp_path: Path
) -> None:
    (tmp_path / ADDRESS_FILE).write_text(node.address)
    node.faults.appends.extend([None, Fault.DEAF])
    module = "tests.support.log_writer_process"
    command = [sys.executable, "-m", module, "eventstoredb", str(tmp_path), "5", "1"]
    with subprocess.Popen(  # noqa: ASYNC220 - it only begins here
        command, cwd=REPOSITORY, stdin=subprocess.DEVNULL
    ) as writer:
        await wait_until(lambda: not node.faults.appends)
        writer.kill()
    assert log.idempotency_result("post 5") is None
    with pytest.raises(IdempotencyKeyReused):
        await log.append(post_append(77, key="post 5", text="another"))
    again = await log.append(post_append(77, key="post 5"))
    assert again == AppendResult(FIRST_ID + 5, log.head(), replayed=True)
    assert [id - FIRST_ID for id, *_ in all_event_keys(log)] == [5]


async def test_a_claim_that_another_append_overtook_is_given_up(
    node: EventStoreNode, log: EventStoreLog
) -> None:
    await log.append(like_append("like-1-1", 0, 1))
    with pytest.raises(WrongVersion):
        await log.append(like_append("like-1-1", 0, 2, key=post_append(2, key="k").key))
    assert log.idempotency_result("k") is None
    done = await log.append(post_append(3, key="k"))
    assert not done.replayed
    assert [id - FIRST_ID for id, *_ in all_event_keys(log)] == [1, 3]


async def test_calls_follow_the_node_that_leads(
    node: EventStoreNode, log: EventStoreLog, tmp_path: Path
) -> None:
    with EventStoreNode() as follower:
        follower.faults.always = Fault.NOT_LEADER
        follower.faults.leader = ("127.0.0.1", node.port)
        with closing(open_log(follower.address, tmp_path)) as other:
            await other.append(post_append(1))
            assert other.identity == log.identity
            assert len(log.read_all()) == 1


async def test_the_leader_is_asked_for_where_the_address_names_several_nodes(
    node: EventStoreNode, tmp_path: Path
) -> None:
    with EventStoreNode() as follower:
        follower.members[:] = [
            ("127.0.0.1", follower.port, FOLLOWER),
            ("127.0.0.1", node.port, LEADER),
        ]
        hosts = f"127.0.0.1:{follower.port},127.0.0.1:{node.port}"
        with closing(open_log(f"esdb://{hosts}?tls=false", tmp_path)) as log:
            await log.append(post_append(1))
    assert "starling.post-" in str(list(node.store.streams))
    assert not any(name.startswith("starling") for name in follower.store.streams)


async def test_another_log_in_the_place_of_this_one_gets_no_append(
    node: EventStoreNode, log: EventStoreLog, tmp_path: Path
) -> None:
    await log.append(post_append(1))
    node.stop()
    (tmp_path / "node.log").unlink()
    node.start()
    with pytest.raises(LogReplaced):
        await log.append(post_append(2))
    with pytest.raises(LogReplaced):
        log.head()
    assert not any("post" in name for name in node.store.streams)


async def test_a_waiting_reader_hears_of_events_after_its_connection_was_cut(
    node: EventStoreNode, log: EventStoreLog, tmp_path: Path
) -> None:
    with closing(open_log(node.address, tmp_path)) as writer:
        waiting = asyncio.ensure_future(log.wait_for_events(LOG_START, 30))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(node.cut_connections)
        await writer.append(post_append(1))
        async with asyncio.timeout(10):
            assert await waiting


async def test_two_processes_that_begin_a_log_at_once_begin_the_same(
    node: EventStoreNode, tmp_path: Path
) -> None:
    opened = await asyncio.gather(
        *(asyncio.to_thread(open_log, node.address, tmp_path) for _ in range(4))
    )
    assert len({log.identity for log in opened}) == 1
    for log in opened:
        log.close()


def test_a_log_that_is_not_there_is_not_begun_to_be_read(
    node: EventStoreNode, tmp_path: Path
) -> None:
    with pytest.raises(LogUnavailable, match="no log"):
        open_log(node.address, tmp_path, read_only=True)
    open_log(node.address, tmp_path).close()
    with closing(open_log(node.address, tmp_path, read_only=True)) as log:
        assert log.read_all() == []
        with pytest.raises(LogUnavailable, match="read alone"):
            asyncio.run(log.append(post_append(1)))


async def test_verify_finds_what_only_this_store_can_have(
    node: EventStoreNode, log: EventStoreLog
) -> None:
    for number in range(3):
        await log.append(post_append(number))
    await log.append(like_append("like-1-1", 0, 0))  # with the id of the first post
    at = log.read_all(limit=1)[0].position
    twice = f"has the id {FIRST_ID}, as position {at} has"
    assert [finding.what for finding in verify_log(log)] == [twice]
    first, second = (f"starling.post-{FIRST_ID + number}" for number in (1, 2))
    node.store.delete(first, 0, for_good=False)
    node.store.delete(second, 0, for_good=True)
    assert [finding.what for finding in verify_log(log)] == [twice] + [
        f"post-{FIRST_ID + number} is truncated or deleted in the store: commands miss its events"
        for number in (1, 2)
    ]
    assert len(log.read_all()) == 4
