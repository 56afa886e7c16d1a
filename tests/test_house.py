"""The house rules that no linter knows: sizes, names, docstrings, dead modules, documentation."""

import ast
import importlib
import re
from collections.abc import Iterator
from inspect import iscoroutinefunction
from pathlib import Path

import click
import pytest

from projections.registry import ALL_PROJECTIONS
from tests.support.requirements import REPOSITORY
from tests.support.source_tree import (
    ENTRY_POINTS,
    PACKAGES,
    Function,
    functions_in,
    imported_modules,
    importers,
    module_name,
    parse,
    profile_choices,
    read_lines,
    repeated_class_names,
    source_files,
    subjectless_words,
    tracked_files,
    unrelated_classes_by_method,
)

PURE = ("events", "commands", "projections")
LONGEST_FILE = 400
"""A longer file holds more than one concept; a lower cap makes people cut one concept in two."""
LONGEST_FUNCTION = 50
VAGUE_NAMES = {
    "base", "common", "helper", "helpers", "manager", "managers", "misc", "service", "services",
    "util", "utils",
}  # fmt: skip

SHARED_METHODS = {
    "acquire", "add", "append", "apply", "close", "decode", "encode", "get", "open", "publish",
    "put", "read", "release", "run", "start", "stop", "write",
}  # fmt: skip
"""The trade's verbs of small ports: everyone knows what they do to a log, a lock or a file."""
MOST_UNRELATED_CLASSES = 6

SMALL_MODULE = 60
"""Lines below which a module that only one other imports had better be part of that one."""
SMALL_MODULES = {
    "api/v1/trends.py": "one file a resource",
    "api/mastodon/empty_lists.py": "one file a resource",
    "api/oauth/unused_apps.py": "what becomes of apps, whatever runs it",
    "api/mastodon/web_finger.py": "a protocol of its own, beside the Mastodon API",
    "api/http/openapi.py": "what FastAPI's document lacks, a concern of its own",
    "infra/cli/account_link.py": "one file a command of the program",
    "infra/cli/serve.py": "one file a command of the program",
    "infra/dev/stack_supervisor.py": "the main module of a process",
    "infra/eventstoredb/client_package.py": "what has to be done before its import",
    "infra/eventstoredb/hidden_streams.py": "what an administrator did, apart from the log",
    "infra/eventstoredb/open_log.py": "only what opens such a log needs its package",
    "infra/entrypoints/whole_files.py": "what a start demands of the log and the accounts alone",
    "infra/mongodb/rate_limits.py": "the counterpart of infra/sqlite/rate_limits.py",
    "projections/list_timeline.py": "the timeline of lists; the rest of them is another read model",
    "projections/trending_posts.py": "a question to two read models, as recommended_posts is",
    "api/mastodon/client_addresses.py": "the middleware that knows whose addresses they are",
    "api/mastodon/instance_figures.py": "what is counted, apart from what is said of it",
}
"""Those that stand by themselves, with the reason."""

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
    not (REPOSITORY / "infra" / "wiring").is_dir(),
    reason="nothing assembles the modules yet",
)


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(path): len(read_lines(path)) for path in source_files(*PACKAGES, "tests")}
    assert {path: n for path, n in lengths.items() if n > LONGEST_FILE} == {}


def test_no_function_is_longer_than_50_lines() -> None:
    lengths = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in source_files(*PACKAGES, "tests")
        for node in functions_in(path)
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def test_every_package_file_holds_a_docstring_and_nothing_else() -> None:
    packages = [p for p in source_files(*PACKAGES, "tests") if p.name == "__init__.py"]
    assert packages
    wrong = [p for p in packages if len(parse(p).body) != 1 or not ast.get_docstring(parse(p))]
    assert wrong == []


def test_no_module_has_a_vague_name() -> None:
    modules = [path for path in tracked_files() if path.suffix == ".py"]
    wrong = [path for path in modules if VAGUE_NAMES & set(path.stem.split("_"))]
    assert wrong == []


def test_every_public_module_class_and_function_has_a_docstring() -> None:
    bare: list[str] = []
    for path in source_files():
        module = parse(path)
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
    for path in source_files(*PACKAGES, "tests"):
        wanted |= imported_modules(path) - {module_name(path)}
    dead = [p for p in source_files() if p.name != "__init__.py" and module_name(p) not in wanted]
    assert dead == []


def test_no_class_name_stands_twice_in_the_product() -> None:
    assert repeated_class_names() == {}


def test_no_method_name_stands_in_many_unrelated_classes() -> None:
    many = {
        name: count
        for name, count in unrelated_classes_by_method().items()
        if count > MOST_UNRELATED_CLASSES and name not in SHARED_METHODS
    }
    assert many == {}


def test_a_small_module_with_one_importer_has_a_reason_to_stand_alone() -> None:
    alone = {
        str(path)
        for path, by in importers().items()
        if len(by) == 1 and len(read_lines(path)) < SMALL_MODULE
    }
    assert alone - SMALL_MODULES.keys() == set()


def test_prose_names_who_acts() -> None:
    assert [word for path in tracked_files() for word in subjectless_words(path)] == []


def test_commands_print_by_what_escapes_text_from_outside() -> None:
    printing = re.compile(r"\bclick\.echo\(|\bsys\.stdout\.buffer\b")
    places = {str(p) for p in source_files("infra") if printing.search("\n".join(read_lines(p)))}
    assert places == {"infra/cli/output.py", "infra/cli/errors.py"}


def test_one_place_chooses_the_profile() -> None:
    assert len(profile_choices()) == 1, profile_choices()


def test_the_core_never_asks_what_time_it_is() -> None:
    clocks = {"now", "utcnow", "today"}
    asking = [
        f"{path}:{node.lineno}"
        for path in source_files(*PURE)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute)
        and node.attr in clocks
        and ast.unparse(node.value).rpartition(".")[2] in {"datetime", "date"}
    ]
    assert asking == []


def test_only_settings_reads_the_environment() -> None:
    reading = [
        f"{path}:{node.lineno}"
        for path in source_files()
        if path != Path("infra/settings.py")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in {"os.environ", "os.environb", "os.getenv", "os.putenv"}
    ]
    # The program tells NumPy how many threads to start, before anything reads settings.
    reading.remove(next(each for each in reading if each.startswith("infra/cli/main.py:")))
    assert reading == []


def test_no_tracked_file_names_where_packages_come_from() -> None:
    naming: list[str] = []
    for path in tracked_files():
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


def test_what_asks_for_a_view_names_a_projection() -> None:
    asking = {"current_store", "fresh_views", "known_position", "projection_named"}
    known = {projection.name for projection in ALL_PROJECTIONS}
    unknown = [
        f"{path}:{node.lineno} {argument.value!r}"
        for path in source_files()
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in asking
        for argument in node.args
        if isinstance(argument, ast.Constant) and argument.value not in known
    ]
    assert unknown == []


@needs_the_assembly
def test_no_dependency_of_a_route_runs_in_a_thread() -> None:
    """FastAPI runs plain functions in threads: they would race for the caches of the process."""
    from fastapi.dependencies.models import Dependant
    from fastapi.routing import APIRoute, iter_route_contexts

    from tests.support.api_world import ApiWorld

    def calls(dependant: Dependant) -> list[object]:
        nested = [call for one in dependant.dependencies for call in calls(one)]
        return [dependant.call, *nested]

    routes = [context.original_route for context in iter_route_contexts(ApiWorld().app.routes)]
    found = [call for r in routes if isinstance(r, APIRoute) for call in calls(r.dependant)]
    assert len(found) > 100
    plain = {
        str(call)
        for call in found
        if not iscoroutinefunction(call) and not iscoroutinefunction(type(call).__call__)
    }
    assert plain == set()
