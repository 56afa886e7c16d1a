"""What the folder of views remembers."""

from pathlib import Path

from infra.sqlite.view_files import ProjectionSettings, ViewFiles
from streams.rebuild.rebuild_record import RebuildRecord


def test_the_paused_projections_are_those_that_an_operator_paused(tmp_path: Path) -> None:
    files = ViewFiles(tmp_path)
    assert files.paused_projections() == frozenset()
    files.save_settings("posts", ProjectionSettings(paused=True))
    files.save_settings("trending", ProjectionSettings(skips=frozenset({3})))
    assert files.paused_projections() == {"posts"}


def test_views_of_projections_that_are_gone_are_removed(tmp_path: Path) -> None:
    files = ViewFiles(tmp_path)
    current = {"posts": "posts-1.sqlite", "personal_lists": "personal_lists-1.sqlite"}
    built = ("posts-2.sqlite", "renamed-1.sqlite")
    for name in (*current.values(), *built):
        (tmp_path / name).touch()
    (tmp_path / "personal_lists-1.sqlite-wal").touch()
    files.switch_files(current, {})
    for projection, store in zip(("posts", "renamed"), built, strict=True):
        files.save_record(RebuildRecord(projection=projection, version=2, store=store, token="x"))
    files.remove_unused(["posts", "personal_records"])
    assert files.current_files() == {"posts": "posts-1.sqlite"}
    left = {path.name for path in tmp_path.iterdir()} - {"fingerprints.json", "current.json"}
    assert left == {"posts-1.sqlite", "posts-2.sqlite", "posts.rebuild.json"}
