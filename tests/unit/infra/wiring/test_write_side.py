"""What commands are carried out with, opened on a real data folder."""

from pathlib import Path

from commands.request import CommandRequest
from commands.user import Register
from infra.log_of_record import open_log
from infra.settings import Settings
from infra.wiring.write_side import open_write_side


async def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    with open_write_side(settings) as side:
        outcome = await side.handler.handle(CommandRequest(Register("wren", "Wren"), 0))
        assert side.references.user_id("@wren") == outcome.id
    with open_log(settings) as log:
        assert log.head() == outcome.position
