"""The index of ids beside a log in EventStoreDB: kept up, and made anew when it is no good."""

from pathlib import Path

import pytest

from events.envelope import StoredEvent
from infra.eventstoredb import id_index
from infra.eventstoredb.id_index import IdIndex


class GrowingLog:
    """Events with these ids at the positions 10, 20, 30 and so on."""

    def __init__(self, *ids: int) -> None:
        self.ids = list(ids)
        self.reads: list[int] = []

    def read_after(self, after: int, limit: int) -> list[StoredEvent]:
        self.reads.append(after)
        return [
            StoredEvent(10 * n, id, "post-1", n, "post-created", 1, 1, 0, 1, b"{}")
            for n, id in enumerate(self.ids, start=1)
            if 10 * n > after
        ][:limit]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_index, "EVENTS_PER_READ", 2)


def test_it_answers_from_the_whole_log_and_reads_on_where_it_stopped(tmp_path: Path) -> None:
    log = GrowingLog(5, 3, 9, 1, 7)
    index = IdIndex(tmp_path / "here" / "ids", "log", log.read_after)
    assert index.ids_between(3, 7) == [3, 5, 7]
    assert index.ids_between(-(1 << 70), 1 << 70) == [1, 3, 5, 7, 9]
    log.ids += [4, 4]
    log.reads.clear()
    assert index.ids_between(3, 5) == [3, 4, 5]
    assert min(log.reads) == 50
    assert index.newest_id(9) == 7
    assert index.newest_id(1) == 0
    assert index.stretch_between(3, 5) == (0, 70)
    assert index.stretch_between(9, 9) == (20, 30)
    assert index.stretch_between(100, 200) is None
    index.close()
    again = IdIndex(tmp_path / "here" / "ids", "log", log.read_after)
    log.reads.clear()
    assert len(again.ids_between(0, 100)) == 6
    assert log.reads == [70]
    again.close()


def test_it_is_made_anew_for_another_log(tmp_path: Path) -> None:
    old = IdIndex(tmp_path / "ids", "old", GrowingLog(1, 2, 3).read_after)
    assert old.ids_between(0, 9) == [1, 2, 3]
    old.close()
    new = IdIndex(tmp_path / "ids", "new", GrowingLog(8).read_after)
    assert new.ids_between(0, 9) == [8]
    new.close()


def test_no_process_waits_for_another_that_reads_the_log(tmp_path: Path) -> None:
    log, other = (
        GrowingLog(1, 2, 3, 4, 5),
        IdIndex(tmp_path / "ids", "log", GrowingLog(1).read_after),
    )

    def read_while_another_asks(after: int, limit: int) -> list[StoredEvent]:
        assert 1 in other.ids_between(0, 9)
        return log.read_after(after, limit)

    index = IdIndex(tmp_path / "ids", "log", read_while_another_asks)
    assert index.ids_between(0, 9) == [1, 2, 3, 4, 5]
    assert other.ids_between(0, 9) == [1, 2, 3, 4, 5]
    index.close()
    other.close()


@pytest.mark.parametrize("damage", [b"no database", b"SQLite format 3\0" + b"x" * 5000, b""])
def test_it_is_made_anew_where_its_file_is_damaged(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "ids").write_bytes(damage)
    index = IdIndex(tmp_path / "ids", "log", GrowingLog(1, 2, 3).read_after)
    assert index.ids_between(0, 9) == [1, 2, 3]
    index.close()


def test_it_does_without_a_file_where_none_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    index = IdIndex(tmp_path / "file" / "ids", "log", GrowingLog(1, 2).read_after)
    assert index.ids_between(0, 9) == [1, 2]
    index.close()
