"""The house rules that no linter knows: sizes, names, docstrings, dead modules, documentation."""

import ast
import functools
import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.support.requirements import REPOSITORY

PACKAGES = ("events", "commands", "projections", "api", "streams", "infra")
ENTRY_POINTS = {
    "infra.cli.main", "infra.entrypoints.api_server", "infra.embedded.time_travel_process",
    "infra.embedded.rebuild_process", "infra.streaming.rebuild_process",
}  # fmt: skip
PURE = ("events", "commands", "projections")
LONGEST_FILE = 400
LONGEST_FUNCTION = 50
VAGUE_NAMES = {
    "base", "common", "helper", "helpers", "manager", "managers", "misc", "service", "services",
    "util", "utils",
}  # fmt: skip

# Shapes of package sources, without naming any: a URL on a host of that kind, or an option
# that points an installer at one.
PACKAGE_SOURCE = re.compile(
    r"://(?:index|registry|repo\d*|proxy|files|deb|archive|mirrors?)[.-][a-z]"
    r"|://[^\s\"'<>]+/simple\b"
    r"|--(?:extra-)?index[-]url[ =]|--find[-]links[ =]|\bregistry[ ]?=[ ]?\"?http",
    re.IGNORECASE,
)

needs_the_program = pytest.mark.skipif(
    not (REPOSITORY / "infra" / "cli" / "main.py").exists(), reason="the program does not exist yet"
)
needs_the_assembly = pytest.mark.skipif(
    not (REPOSITORY / "infra" / "wiring" / "api_process.py").exists(),
    reason="nothing assembles the modules yet",
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def tracked() -> list[Path]:
    """Every file that git knows or would add, relative to the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    paths = (Path(name) for name in listed.split("\0") if name)
    return [path for path in paths if (REPOSITORY / path).is_file()]


def sources(*folders: str) -> list[Path]:
    return [p for p in tracked() if p.suffix == ".py" and p.parts[0] in (folders or PACKAGES)]


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse((REPOSITORY / path).read_text(encoding="utf-8"), filename=str(path))


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def imported_by(path: Path) -> set[str]:
    """Every module that `path` may import: `from a import b` names both a and a.b."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {
        str(path): len((REPOSITORY / path).read_text(encoding="utf-8").splitlines())
        for path in sources(*PACKAGES, "tests")
    }
    assert {path: n for path, n in lengths.items() if n > LONGEST_FILE} == {}


def test_no_function_is_longer_than_50_lines() -> None:
    lengths = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in sources(*PACKAGES, "tests")
        for node in functions(path)
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def test_every_package_file_holds_a_docstring_and_nothing_else() -> None:
    packages = [p for p in sources(*PACKAGES, "tests") if p.name == "__init__.py"]
    assert packages
    wrong = [p for p in packages if len(tree(p).body) != 1 or not ast.get_docstring(tree(p))]
    assert wrong == []


def test_no_module_has_a_vague_name() -> None:
    wrong = [p for p in tracked() if p.suffix == ".py" and VAGUE_NAMES & set(p.stem.split("_"))]
    assert wrong == []


def test_every_public_module_class_and_function_has_a_docstring() -> None:
    bare: list[str] = []
    for path in sources():
        module = tree(path)
        if not ast.get_docstring(module):
            bare.append(str(path))
        for node in module.body:
            if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                bare.append(f"{path}:{node.lineno} {node.name}")
    assert bare == []


@needs_the_assembly
def test_every_module_is_imported_by_something_or_is_an_entry_point() -> None:
    wanted = set(ENTRY_POINTS)
    for path in sources(*PACKAGES, "tests"):
        wanted |= imported_by(path) - {module_name(path)}
    dead = [p for p in sources() if p.name != "__init__.py" and module_name(p) not in wanted]
    assert dead == []


def test_the_core_never_asks_what_time_it_is() -> None:
    clocks = {"now", "utcnow", "today"}
    asking = [
        f"{path}:{node.lineno}"
        for path in sources(*PURE)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and node.attr in clocks
        and ast.unparse(node.value).rpartition(".")[2] in {"datetime", "date"}
    ]
    assert asking == []


def test_only_settings_reads_the_environment() -> None:
    reading = [
        f"{path}:{node.lineno}"
        for path in sources()
        if path != Path("infra/settings.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in {"os.environ", "os.environb", "os.getenv", "os.putenv"}
    ]
    assert reading == []


def test_no_tracked_file_names_where_packages_come_from() -> None:
    naming: list[str] = []
    for path in tracked():
        content = (REPOSITORY / path).read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
            if PACKAGE_SOURCE.search(line):
                naming.append(f"{path}:{number}")
    assert naming == []


@pytest.mark.parametrize(
    "line", ["see https:/" + "/repo1.example.com/x", "http:/" + "/a.b/simple", "--index" + "-url x"]
)
def test_the_search_for_package_sources_finds_one(line: str) -> None:
    assert PACKAGE_SOURCE.search(line)


def test_every_make_command_in_the_readme_exists() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    shown = set(re.findall(r"(?:`|^\s*\$?\s*)make ([a-z]+)", readme, re.MULTILINE))
    assert {"run", "test"} <= shown
    assert shown - targets == set()


def subcommands(command: click.Command, path: str) -> Iterator[str]:
    """`starling serve`, `starling events verify`, ...: every command that does something."""
    if not isinstance(command, click.Group):
        yield path
        return
    for name, child in command.commands.items():
        yield from subcommands(child, f"{path} {name}")


@needs_the_program
def test_every_subcommand_of_the_program_is_in_the_readme() -> None:
    main = importlib.import_module("infra.cli.main").main
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert [c for c in subcommands(main, "starling") if c not in readme] == []
