"""Commands about single events take what is there, and settle the rebuild that stopped there."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.embedded.rebuilds import EmbeddedRebuildBackend
from infra.in_memory.event_log import MemoryLog
from infra.settings import Settings
from infra.sqlite.view_files import ViewFiles
from streams.rebuild.admin import AdminCommand, AdminRefused, AdminVerb
from streams.rebuild.event_commands import EventCommands, OpenView
from streams.rebuild.rebuild_record import RebuildRecord
from tests.support.failing_projection import (
    FailingProjection,
    PostText,
    RecordingRunner,
    append_post,
)


@dataclass
class SayingsOperator:
    """Gives commands about the projection of a log whose second event fails."""

    recording: RecordingRunner
    projection: FailingProjection
    files: ViewFiles
    backend: EmbeddedRebuildBackend
    skips: frozenset[int] = field(default_factory=frozenset)

    async def execute(self, what: AdminVerb, *positions: int, view: bool = True) -> str:
        async def save_skips(skips: frozenset[int]) -> None:
            self.skips = skips

        opened = OpenView(self.recording.store, self.recording.follower.tolerant_projector)
        commands = EventCommands(
            self.recording.log,
            self.backend,
            opened if view else None,
            self.skips,
            save_skips,
        )
        return await commands.execute(AdminCommand(what, "sayings", positions))

    def fail_rebuild(self, stopped_at: int) -> None:
        record = RebuildRecord(
            projection="sayings",
            version=1,
            store="sayings-1-2.sqlite",
            token="t",
            state="failed",
            problem="cannot apply",
            stopped_at=stopped_at,
        )
        with self.files.lock_rebuild("sayings"):
            self.files.save_record(record)

    def rebuild_failed(self) -> bool:
        return self.files.read_record("sayings") is not None


@pytest.fixture
async def operator(tmp_path: Path) -> SayingsOperator:
    log, projection = MemoryLog(), FailingProjection("bad")
    await append_post(log, 1, "good", "bad", "fine")
    recording = await RecordingRunner(log, projection).catch_up()
    settings = Settings(data=tmp_path)
    settings.views_folder.mkdir()
    return SayingsOperator(
        recording, projection, ViewFiles(settings.views_folder), EmbeddedRebuildBackend(settings)
    )


@pytest.mark.parametrize("position", [0, 1, 4, -1, 10**20])
async def test_what_is_no_dead_letter_is_neither_skipped_nor_purged_nor_replayed(
    operator: SayingsOperator, position: int
) -> None:
    with pytest.raises(AdminRefused, match=f"can't skip position {position}: only a dead letter"):
        await operator.execute("skip", 2, position)
    for what in ("purge", "replay"):
        with pytest.raises(AdminRefused, match=f"has no dead letter at position {position}"):
            await operator.execute(what, position)
    assert operator.skips == frozenset()
    assert await operator.recording.dead_letter_positions() == [(2, True), (3, False)]


async def test_a_skipped_dead_letter_is_gone_and_what_waited_for_it_is_applied(
    operator: SayingsOperator,
) -> None:
    assert await operator.execute("skip", 2) == "sayings skips 1 events"
    assert operator.skips == {2}
    assert await operator.recording.dead_letter_positions() == []
    assert await operator.recording.read_rows() == [PostText(1, "fine", 2)]
    assert await operator.execute("skip", 2) == "sayings skips 1 events", "no error the second time"


async def test_a_skip_can_be_taken_back_and_only_a_skip(operator: SayingsOperator) -> None:
    await operator.execute("skip", 2)
    with pytest.raises(AdminRefused, match="does not skip positions 3, 5"):
        await operator.execute("unskip", 2, 5, 3)
    assert "'starling projections rebuild sayings'" in await operator.execute("unskip", 2)
    assert operator.skips == frozenset()


async def test_the_event_at_which_a_rebuild_stopped_can_be_skipped_even_without_a_view(
    operator: SayingsOperator,
) -> None:
    operator.fail_rebuild(stopped_at=1)
    with pytest.raises(AdminRefused):
        await operator.execute("skip", 2, view=False)
    await operator.execute("skip", 1, view=False)
    assert (sorted(operator.skips), operator.rebuild_failed()) == ([1], False)


async def test_replaying_the_event_at_which_a_rebuild_stopped_settles_the_rebuild(
    operator: SayingsOperator,
) -> None:
    operator.fail_rebuild(stopped_at=2)
    with pytest.raises(AdminRefused, match="2 stay dead letters"):
        await operator.execute("replay")
    assert operator.rebuild_failed()
    operator.projection.failing_texts.clear()
    assert await operator.execute("replay") == "sayings applied 2 events; 0 stay dead letters"
    assert not operator.rebuild_failed()


async def test_a_rebuild_that_stopped_at_another_event_stays_failed(
    operator: SayingsOperator,
) -> None:
    operator.fail_rebuild(stopped_at=1)
    await operator.execute("skip", 2)
    assert operator.rebuild_failed()
