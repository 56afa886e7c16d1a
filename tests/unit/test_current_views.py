"""Readers always see one whole map of current views, and follow a switch."""

from pathlib import Path
from typing import cast

import pytest

from events.recorded import Recorded
from infra.views.board import BoardReader, BoardWriter
from infra.views.current import CurrentFiles, CurrentViews
from projections.projection import Projection, View
from projections.store import ReadStore, StoreUnavailable


class Nothing:
    """A projection of nothing."""

    name, version, takes, tables = "nothing", 1, (), ()

    def needs(self, recorded: Recorded) -> tuple[()]:
        return ()

    def project(self, recorded: Recorded, view: View) -> None:
        return None


def opened(path: Path, projection: Projection) -> ReadStore:
    return cast(ReadStore, f"{projection.name} in {path.name}")


def shown(views: CurrentViews) -> str:
    return cast(str, views.store("nothing"))


def test_a_view_that_was_never_made_is_unavailable(tmp_path: Path) -> None:
    views = CurrentViews(tmp_path, [Nothing()], BoardReader(tmp_path / "board"), opened)
    with pytest.raises(StoreUnavailable, match="still being made"):
        views.store("nothing")


def test_a_switch_is_noticed_by_a_reader_that_is_open(tmp_path: Path) -> None:
    writer = BoardWriter(tmp_path / "board", epoch=1)
    files = CurrentFiles(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).touch()
    files.switch({"nothing": "one"})
    views = CurrentViews(tmp_path, [Nothing()], BoardReader(tmp_path / "board"), opened)
    assert shown(views) == "nothing in one"
    files.switch({"nothing": "two"})
    assert shown(views) == "nothing in one", "not before the board says so"
    writer.switched()
    assert shown(views) == "nothing in two"


def test_a_switch_leaves_the_other_projections_where_they_are(tmp_path: Path) -> None:
    files = CurrentFiles(tmp_path)
    files.switch({"a": "a-1", "b": "b-1"})
    files.switch({"b": "b-2"})
    assert files.read() == {"a": "a-1", "b": "b-2"}
    assert files.path("b") == tmp_path / "b-2"
    assert files.path("c") is None
