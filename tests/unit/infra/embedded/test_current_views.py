"""Readers always see one whole map of current views, and follow a switch."""

from pathlib import Path
from typing import cast

import pytest

from events.envelope import RecordedEvent
from infra.embedded.current_views import CurrentViews
from infra.shared_memory.status_page import StatusPageReader, StatusPageWriter
from infra.sqlite.view_files import ViewFiles
from projections.projection import BatchRows, Projection
from projections.store import ReadStore, StoreUnavailable


class EmptyProjection:
    """A projection of nothing."""

    name, version, event_types, tables = "nothing", 1, (), ()

    def rows_to_read(self, recorded: RecordedEvent) -> tuple[()]:
        return ()

    def project(self, recorded: RecordedEvent, view: BatchRows) -> None:
        return None


def opened(path: Path, projection: Projection) -> ReadStore:
    return cast(ReadStore, f"{projection.name} in {path.name}")


def current_view_name(views: CurrentViews) -> str:
    return cast(str, views.current_store("nothing"))


def test_a_view_that_was_never_made_is_unavailable(tmp_path: Path) -> None:
    views = CurrentViews(
        tmp_path, [EmptyProjection()], StatusPageReader(tmp_path / "status-page"), opened
    )
    with pytest.raises(StoreUnavailable, match="still being built"):
        views.current_store("nothing")


def test_a_switch_is_noticed_by_a_reader_that_is_open(tmp_path: Path) -> None:
    writer = StatusPageWriter(tmp_path / "status-page", epoch=1)
    files = ViewFiles(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).touch()
    files.switch_files({"nothing": "one"}, {})
    views = CurrentViews(
        tmp_path, [EmptyProjection()], StatusPageReader(tmp_path / "status-page"), opened
    )
    assert current_view_name(views) == "nothing in one"
    files.switch_files({"nothing": "two"}, {})
    assert current_view_name(views) == "nothing in one", "not before the status page says so"
    writer.bump_generation()
    assert current_view_name(views) == "nothing in two"


def test_a_switch_leaves_the_other_projections_where_they_are(tmp_path: Path) -> None:
    files = ViewFiles(tmp_path)
    files.switch_files({"a": "a-1", "b": "b-1"}, {})
    files.switch_files({"b": "b-2"}, {})
    assert files.current_files() == {"a": "a-1", "b": "b-2"}
    assert files.current_path("b") == tmp_path / "b-2"
    assert files.current_path("c") is None
