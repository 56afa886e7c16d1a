"""Commands that the projector carries out, on a real data folder."""

from pathlib import Path

import pytest

from infra.embedded.projector import open_projector
from infra.log_of_record import open_log
from infra.settings import Settings
from infra.sqlite.view_files import ViewFiles
from streams.rebuild.admin import AdminCommand


async def test_a_command_on_a_full_disk_is_refused_and_the_projector_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    settings = Settings(data=tmp_path)
    with open_log(settings) as log:
        async with open_projector(settings, log, rebuilds=False) as projector:
            monkeypatch.setattr(ViewFiles, "save_settings", fail)
            result = await projector.admin.execute(AdminCommand("pause", "posts"))
            assert (result.done, "No space left" in result.text) == (False, True)
            assert not projector.admin.waiting_switches
