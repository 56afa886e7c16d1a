"""The figures of the demo world, beside DuckDB over its exported log."""

from pathlib import Path

from infra.dev.demo_world import import_demo_world
from infra.log_of_record import open_log_for_questions
from infra.settings import Settings
from tests.support.exported_figures import compare_figures


async def test_every_figure_of_the_demo_world_is_that_of_duckdb(tmp_path: Path) -> None:
    town = Settings(data=tmp_path / "town")
    assert await import_demo_world(town)
    with open_log_for_questions(town) as log:
        await compare_figures(log, tmp_path, minutes=330)
