"""The guide for analysts and its notebook say what the program says."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.guides import answered, ask, demo_world, questions
from tests.outside import REPOSITORY

GUIDE = REPOSITORY / "docs" / "analysts.md"
NOTEBOOK = REPOSITORY / "docs" / "analysts.ipynb"


def test_the_guide_has_ten_questions_with_the_answers_of_the_demo_world(tmp_path: Path) -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    assert len(questions(guide)) == 10
    assert answered(guide, ask(demo_world(tmp_path / "town"))) == guide, (
        "write the answers anew: .venv/bin/python -m tests.guides docs/analysts.md"
    )


def said(notebook: Any) -> list[str]:
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
    before = said(notebook)
    assert len(before) == 5
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    assert said(notebook) == before
