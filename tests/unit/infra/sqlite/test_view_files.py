"""What the folder of views remembers."""

from pathlib import Path

from infra.sqlite.view_files import ProjectionSettings, ViewFiles


def test_the_paused_projections_are_those_that_an_operator_paused(tmp_path: Path) -> None:
    files = ViewFiles(tmp_path)
    assert files.paused_projections() == frozenset()
    files.save_settings("posts", ProjectionSettings(paused=True))
    files.save_settings("trending", ProjectionSettings(skips=frozenset({3})))
    assert files.paused_projections() == {"posts"}
