"""The board tells readers in other processes what the projector did, and never half of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.views.board import JOURNAL, BoardReader, BoardTaken, BoardWriter, Touch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "board"


def test_a_published_position_is_read(path: Path) -> None:
    writer, reader = BoardWriter(path, epoch=1), BoardReader(path)
    writer.publish("posts", 17)
    writer.publish("timeline", 2**62)
    assert reader.position("posts") == 17
    assert reader.position("timeline") == 2**62
    assert reader.position("nobody") == 0


def test_a_reader_that_came_first_sees_a_writer_that_came_later(path: Path) -> None:
    reader = BoardReader(path)
    assert reader.position("posts") == 0
    writer = BoardWriter(path, epoch=1)
    assert reader.touched() is None, "a new writer means: start over"
    writer.publish("posts", 3)
    writer.touch([(1, 10), (2, 20)])
    assert reader.position("posts") == 3
    assert reader.touched() == [Touch(1, 10), Touch(2, 20)]
    assert reader.touched() == []


def test_a_reader_too_far_behind_is_told_to_drop_everything(path: Path) -> None:
    writer, reader = BoardWriter(path, epoch=1), BoardReader(path)
    writer.touch((1, n) for n in range(JOURNAL))
    assert reader.touched() == [Touch(1, n) for n in range(JOURNAL)]
    writer.touch((1, n) for n in range(JOURNAL + 1))
    assert reader.touched() is None
    writer.touch([(1, 5)])
    assert reader.touched() == [Touch(1, 5)]


def test_a_switch_and_a_restart_change_the_generation(path: Path) -> None:
    writer, reader = BoardWriter(path, epoch=1), BoardReader(path)
    first = reader.generation
    writer.touch([(1, 5)])
    writer.switched()
    assert reader.touched() is None
    assert reader.touched() == []
    second = reader.generation
    writer.close()
    BoardWriter(path, epoch=2)
    assert len({first, second, reader.generation}) == 3


def test_a_switch_makes_readers_start_over_once(path: Path) -> None:
    writer, reader = BoardWriter(path, epoch=1), BoardReader(path)
    writer.touch([(1, 7)])
    writer.switched()
    assert reader.touched() is None
    writer.touch([(1, 8)])
    assert reader.touched() == [Touch(1, 8)]


def test_a_restarted_projector_does_not_show_positions_of_before(path: Path) -> None:
    writer, reader = BoardWriter(path, epoch=1), BoardReader(path)
    writer.publish("posts", 17)
    writer.close()
    BoardWriter(path, epoch=2)
    assert reader.position("posts") == 0


def test_only_one_process_writes(path: Path) -> None:
    BoardWriter(path, epoch=1)
    other = (
        "import sys, pathlib; from infra.views.board import BoardWriter as W; "
        "W(pathlib.Path(sys.argv[1]), 2)"
    )
    run = subprocess.run([sys.executable, "-c", other, path], capture_output=True, text=True)
    assert run.returncode != 0
    assert "another projector is at work" in run.stderr
    with pytest.raises(BoardTaken):
        BoardWriter(path, epoch=3)
