"""`docs/projections.md` does what it says: its code is put into a copy of the program and run."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.data_folders import create_data_folder, current_view_file
from tests.support.requirements import REPOSITORY
from tests.support.starling_program import starling_environment

GUIDE = (REPOSITORY / "docs" / "projections.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(python|diff)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COPIED = ("events", "commands", "projections", "api", "streams", "infra", "tests")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with everything in it that the guide says to write."""
    folder = tmp_path_factory.mktemp("tutorial")
    for package in COPIED:
        shutil.copytree(
            REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    for kind, name, text in BLOCK.findall(GUIDE):
        if kind == "python":
            assert not (folder / name).exists(), f"{name} is there already"
            (folder / name).write_text(text, encoding="utf-8")
        else:
            patch(folder / name, text.splitlines())
    return folder


def patch(path: Path, lines: list[str]) -> None:
    """Change the one place that a diff without line numbers shows."""
    text = path.read_text(encoding="utf-8")
    old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    assert text.count(old) == 1, f"{path.name} has no longer one place that says:\n{old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def commands(first: str) -> list[list[str]]:
    """The guide's shell commands that begin like this and can be run as they stand."""
    lines = "".join(SHELL.findall(GUIDE)).splitlines()
    split = [shlex.split(line, comments=True) for line in lines if "POSITION" not in line]
    return [command[1:] for command in split if command[0] == first]


def run(copy: Path, *arguments: str, **settings: str) -> str:
    """Run Python in the copy, which must go well; what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=starling_environment(PYTHONPATH=str(copy), **settings),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(600)
def test_the_projection_passes_its_test_and_all_laws(copy: Path) -> None:
    asked = commands(".venv/bin/python")
    assert len(asked) == 2
    for command in asked:
        run(copy, *command, "-q", "-p", "no:cacheprovider")
    names = run(copy, "-m", "pytest", "tests/laws", "-k", "[mentions", "--collect-only", "-q")
    for law in ("split_differently", "applied_twice", "interleave", "sqlite_and_memory"):
        assert re.search(rf"{law}\w*\[mentions\]", names), f"no law {law} in:\n{names}"


def test_the_endpoint_answers(copy: Path) -> None:
    run(copy, "-m", "pytest", "tests/e2e/test_mentions.py", "-q", "-p", "no:cacheprovider")


@pytest.mark.timeout(600)
def test_the_view_is_made_and_rebuilt_by_the_commands_of_the_guide(
    copy: Path, tmp_path: Path
) -> None:
    settings = create_data_folder(tmp_path / "data", events=2000)
    data = {"STARLING_DATA": str(settings.data)}
    program = ("-c", "from infra.cli.main import main; main()")
    run(copy, *program, "projections", "rebuild", "--all", **data)
    seen = {current_view_file(settings, "mentions")}
    for command in commands("starling"):
        run(copy, *program, *command, **data)
        seen.add(current_view_file(settings, "mentions"))
    assert len(seen) == 3, "each of the two rebuilds switched to a view of its own"


def code(text: str) -> list[str]:
    """The lines of code, without docstrings, comments and imports."""
    bare = re.sub(r'"""[^"]*"""', "", text)
    lines = [line for line in bare.splitlines() if line.strip() and "import" not in line]
    return [line for line in lines if not line.lstrip().startswith("#")]


def test_the_way_from_nothing_to_an_endpoint_is_about_as_short_as_promised() -> None:
    written: list[str] = []
    for kind, name, text in BLOCK.findall(GUIDE):
        if kind == "python" and not name.startswith("tests/"):
            written += code(text)
        elif kind == "diff":
            written += code("\n".join(line[1:] for line in text.splitlines() if line[0] == "+"))
    assert len(written) <= 60, f"{len(written)} lines"
