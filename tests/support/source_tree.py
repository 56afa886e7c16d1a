"""The repository's own sources, parsed: for the house rules and for the measuring of the house."""

import ast
import functools
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.requirements import REPOSITORY

PACKAGES = ("events", "commands", "projections", "api", "streams", "infra")
ENTRY_POINTS = {
    "infra.cli.main", "infra.entrypoints.api_process", "infra.embedded.time_travel",
    "infra.embedded.rebuild_process", "infra.streaming.rebuild_process", "infra.dev.stack_keeper",
    "infra.dev.ids_client",
}  # fmt: skip
"""Modules that a process starts with, so that no module has to import them."""

SUBJECTLESS_WORD = re.compile(
    r"(?<![a-z])(?:who[e]ver|(?:some|no|any|every)body)(?![a-z])", re.IGNORECASE
)
"""Words that stand where a sentence should name a process, a component or a caller."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@functools.cache
def tracked_files() -> list[Path]:
    """Every file that git knows or would add, relative to the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    paths = (Path(name) for name in listed.split("\0") if name)
    return [path for path in paths if (REPOSITORY / path).is_file()]


def source_files(*folders: str) -> list[Path]:
    """The Python files of some top-level folders; of the product, where none is named."""
    named = folders or PACKAGES
    return [path for path in tracked_files() if path.suffix == ".py" and path.parts[0] in named]


def read_lines(path: Path) -> list[str]:
    """The lines of a file of the repository."""
    return (REPOSITORY / path).read_text(encoding="utf-8").splitlines()


@functools.cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a file of the repository."""
    return ast.parse((REPOSITORY / path).read_text(encoding="utf-8"), filename=str(path))


def module_name(path: Path) -> str:
    """`a.b` of `a/b.py` and of `a/b/__init__.py`."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def functions_in(path: Path) -> Iterator[Function]:
    """Every function and method of a file, nested ones too."""
    return (node for node in ast.walk(parse(path)) if isinstance(node, Function))


def imported_modules(path: Path) -> set[str]:
    """Every module that `path` may import: `from a import b` names both a and a.b."""
    names: set[str] = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@functools.cache
def importers() -> Mapping[Path, set[str]]:
    """For each module of the product the modules of the product that import it."""
    paths = {module_name(path): path for path in source_files() if path.name != "__init__.py"}
    found: dict[Path, set[str]] = {path: set() for path in paths.values()}
    for name, path in paths.items():
        for imported in imported_modules(path) & paths.keys() - {name}:
            found[paths[imported]].add(name)
    return found


def subjectless_words(path: Path) -> list[str]:
    """`file:line word` for each of these words in a text file."""
    content = (REPOSITORY / path).read_bytes()
    if b"\0" in content:
        return []
    return [
        f"{path}:{number} {word}"
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1)
        for word in SUBJECTLESS_WORD.findall(line)
    ]


@functools.cache
def product_classes() -> Mapping[str, list[tuple[Path, ast.ClassDef]]]:
    """Every class of the product by its name, with the files that define one of that name."""
    found: dict[str, list[tuple[Path, ast.ClassDef]]] = defaultdict(list)
    for path in source_files():
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef):
                found[node.name].append((path, node))
    return found


def repeated_class_names() -> dict[str, list[str]]:
    """Class names that stand more than once in the product, and where."""
    return {
        name: [f"{path}:{node.lineno}" for path, node in places]
        for name, places in product_classes().items()
        if len(places) > 1
    }


def unrelated_classes_by_method() -> Counter[str]:
    """In how many families of classes each method name stands.

    A family is a class with its bases and subclasses in the product, and a protocol of two methods
    or more with the classes that have all of them.
    """
    methods: dict[str, set[str]] = {}
    bases: dict[str, set[str]] = {}
    for name, places in product_classes().items():
        nodes = [node for _, node in places]
        methods[name] = {method for node in nodes for method in _method_names(node)}
        bases[name] = {re.split(r"[\[.]", ast.unparse(base))[0] for n in nodes for base in n.bases}
    family = _families(methods, bases)
    return Counter(
        method
        for method in set().union(*methods.values())
        for _ in {family[name] for name, defined in methods.items() if method in defined}
    )


def _method_names(node: ast.ClassDef) -> Iterator[str]:
    for item in node.body:
        if (
            isinstance(item, Function)
            and not item.name.startswith("__")
            and "property" not in map(ast.unparse, item.decorator_list)
        ):
            yield item.name


def _families(methods: Mapping[str, set[str]], bases: Mapping[str, set[str]]) -> dict[str, str]:
    """The representative of the family of each class."""
    parent = {name: name for name in methods}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    protocols = {
        name: methods[name]
        for name, found in bases.items()
        if "Protocol" in found and len(methods[name]) >= 2
    }
    for name in methods:
        related = bases[name] & methods.keys()
        related |= {port for port, wanted in protocols.items() if wanted <= methods[name]}
        for other in related:
            parent[root(name)] = root(other)
    return {name: root(name) for name in methods}


def profile_choices() -> list[str]:
    """`file:line` of each place where the product tells one profile from the other.

    That is a comparison of where the settings say the views are (`views`, `mongodb`), or a look at
    `is_streaming` or at a `profile`. The settings themselves don't count, nor does `starling up`,
    which asks whether it has to start a MongoDB.
    """
    return sorted(
        {
            f"{path}:{node.lineno}"
            for path in source_files()
            if path not in (Path("infra/settings.py"), Path("infra/dev/stack.py"))
            for node in ast.walk(parse(path))
            if isinstance(node, ast.expr) and _chooses_profile(node)
        }
    )


def _chooses_profile(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in ("is_streaming", "profile")
    return isinstance(node, ast.Compare) and any(
        isinstance(side, ast.Attribute)
        and side.attr in ("views", "mongodb")
        and "settings" in ast.unparse(side.value)
        for side in (node.left, *node.comparators)
    )
