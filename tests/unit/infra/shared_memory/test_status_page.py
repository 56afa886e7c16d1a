"""The status page shows API processes what the projector did, and never half of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.shared_memory.status_page import (
    JOURNAL_LENGTH,
    Invalidation,
    ProjectorAlreadyRunning,
    StatusPageReader,
    StatusPageWriter,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status-page"


def test_a_published_position_is_read(path: Path) -> None:
    writer, reader = StatusPageWriter(path, epoch=1), StatusPageReader(path)
    writer.publish_position("posts", 17)
    writer.publish_position("timeline", 2**62)
    assert reader.position_of("posts") == 17
    assert reader.position_of("timeline") == 2**62
    assert reader.position_of("unknown") == 0


def test_a_reader_opened_before_the_writer_sees_it(path: Path) -> None:
    reader = StatusPageReader(path)
    assert reader.position_of("posts") == 0
    writer = StatusPageWriter(path, epoch=1)
    assert reader.poll_invalidations() is None, "a new writer means: start over"
    writer.publish_position("posts", 3)
    writer.add_invalidations([(1, 10), (2, 20)])
    assert reader.position_of("posts") == 3
    assert reader.poll_invalidations() == [Invalidation(1, 10), Invalidation(2, 20)]
    assert reader.poll_invalidations() == []


def test_a_reader_too_far_behind_drops_everything(path: Path) -> None:
    writer, reader = StatusPageWriter(path, epoch=1), StatusPageReader(path)
    writer.add_invalidations((1, n) for n in range(JOURNAL_LENGTH))
    assert reader.poll_invalidations() == [Invalidation(1, n) for n in range(JOURNAL_LENGTH)]
    writer.add_invalidations((1, n) for n in range(JOURNAL_LENGTH + 1))
    assert reader.poll_invalidations() is None
    writer.add_invalidations([(1, 5)])
    assert reader.poll_invalidations() == [Invalidation(1, 5)]


def test_a_switch_and_a_restart_change_the_generation(path: Path) -> None:
    writer, reader = StatusPageWriter(path, epoch=1), StatusPageReader(path)
    first = reader.generation
    writer.add_invalidations([(1, 5)])
    writer.bump_generation()
    assert reader.poll_invalidations() is None
    assert reader.poll_invalidations() == []
    second = reader.generation
    writer.close()
    StatusPageWriter(path, epoch=2)
    assert len({first, second, reader.generation}) == 3


def test_a_switch_makes_readers_start_over_once(path: Path) -> None:
    writer, reader = StatusPageWriter(path, epoch=1), StatusPageReader(path)
    writer.add_invalidations([(1, 7)])
    writer.bump_generation()
    assert reader.poll_invalidations() is None
    writer.add_invalidations([(1, 8)])
    assert reader.poll_invalidations() == [Invalidation(1, 8)]


def test_a_restarted_projector_does_not_show_positions_of_before(path: Path) -> None:
    writer, reader = StatusPageWriter(path, epoch=1), StatusPageReader(path)
    writer.publish_position("posts", 17)
    writer.close()
    StatusPageWriter(path, epoch=2)
    assert reader.position_of("posts") == 0


def test_only_one_process_writes(path: Path) -> None:
    StatusPageWriter(path, epoch=1)
    other = (
        "import sys, pathlib; from infra.shared_memory.status_page import StatusPageWriter as W; "
        "W(pathlib.Path(sys.argv[1]), 2)"
    )
    run = subprocess.run([sys.executable, "-c", other, path], capture_output=True, text=True)
    assert run.returncode != 0
    assert "another projector is at work" in run.stderr
    with pytest.raises(ProjectorAlreadyRunning):
        StatusPageWriter(path, epoch=3)
