"""The guide for analysts and its notebook say what the program says."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.requirements import REPOSITORY
from tests.support.sql_guides import fill_in_answers, import_demo_world, sql_answerer, sql_questions

GUIDE = REPOSITORY / "docs" / "analysts.md"
NOTEBOOK = REPOSITORY / "docs" / "analysts.ipynb"


def test_the_guide_has_ten_questions_with_the_answers_of_the_demo_world(tmp_path: Path) -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    assert len(sql_questions(guide)) == 10
    assert fill_in_answers(guide, sql_answerer(import_demo_world(tmp_path / "town"))) == guide, (
        "write the answers anew: .venv/bin/python -m tests.support.sql_guides docs/analysts.md"
    )


def notebook_outputs(notebook: Any) -> list[str]:
    """What the cells of a notebook printed and evaluated to."""
    return [
        output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_notebook_opens_on_the_demo_world_and_says_what_it_said() -> None:
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    before = notebook_outputs(notebook)
    assert len(before) == 5
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    assert notebook_outputs(notebook) == before
