"""Guides whose questions in SQL are followed by their answers: finds both, asks, and fills in.

`python -m tests.support.sql_guides docs/analysts.md` writes the answers anew.
"""

import re
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support.starling_program import starling

DEMO_WORLD_END: Final = "2024-05-08T12:00:00Z"

_QUESTION: Final = re.compile(
    r"(?P<question>```sql\n(?P<sql>.*?)```\n)(?P<answer>\n```text\n.*?```\n)?", re.DOTALL
)


def import_demo_world(data: Path) -> Path:
    """The world of the guides in a data folder."""
    lines = starling("demo", "--at", DEMO_WORLD_END)
    done = starling("import", "-", "--data", data, stdin=lines.stdout)
    assert (lines.returncode, done.returncode) == (0, 0), lines.stderr + done.stderr
    return data


def sql_answerer(data: Path) -> Callable[[str], str]:
    """What `starling sql` prints for a question, without the blanks around it."""

    def answer(sql: str) -> str:
        done = starling("sql", sql, "--data", data)
        assert done.returncode == 0, done.stderr.decode()
        lines = textwrap.dedent(done.stdout.decode()).splitlines()
        return "\n".join(line.rstrip() for line in lines).strip("\n")

    return answer


def sql_questions(guide: str) -> list[str]:
    """The SQL of a guide."""
    return [found["sql"] for found in _QUESTION.finditer(guide)]


def fill_in_answers(guide: str, answer: Callable[[str], str]) -> str:
    """The guide with the answer that each question has now."""

    def fill(found: re.Match[str]) -> str:
        return f"{found['question']}\n```text\n{answer(found['sql'])}\n```\n"

    return _QUESTION.sub(fill, guide)


def main() -> None:
    """Write the answers of a guide anew."""
    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        answer = sql_answerer(import_demo_world(Path(folder) / "town"))
        path.write_text(fill_in_answers(path.read_text("utf-8"), answer), encoding="utf-8")


if __name__ == "__main__":
    main()
