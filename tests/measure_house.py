"""The house measured: names, prose, modules, and what a request touches. `python -m
tests.measure_house` prints it all; with `--table` it leaves out the journeys, which start servers.

How it is counted, always over the product alone unless a row says otherwise:

- One-word functions: every `def`, nested ones and methods too, but dunders. Leading underscores are
  stripped; a name without an underscore inside is one word. Classes: words of CamelCase, so that
  `Relay` is one and `ReadStore` two.
- Subjectless words are those of `tests.support.source_tree.SUBJECTLESS_WORD`, once for each time.
- A method name stands in as many classes as there are families of classes that define it; see
  `unrelated_classes_by_method`.
- A module is a file but `__init__.py`; what imports it counts wherever in the file it does so.
- Lines are lines of files, empty ones and comments too.

A journey is what ran, as `tests.support.call_trace` notes it: the product's files in the order of
the first call into each, in every process of a running Starling. A file that only defines a class
of which a function on the way was given a value is counted and listed by itself. A projector
applies an event to every projection that takes it, so those stand there too, and its loop between
batches. The relay's journey is left out where the machine lacks Kafka or MongoDB.
"""

import argparse
import asyncio
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from infra.dev.local_engine import EngineMissing
from tests.support.call_trace import FileUse
from tests.support.journeys import embedded_journeys, relay_journey, temporary_folder
from tests.support.source_tree import (
    functions_in,
    importers,
    product_classes,
    profile_choices,
    read_lines,
    repeated_class_names,
    source_files,
    subjectless_words,
    tracked_files,
    unrelated_classes_by_method,
)
from tests.test_house import MOST_UNRELATED_CLASSES

CAMEL_CASE_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*")


def one_word_functions() -> tuple[int, int]:
    """How many names of functions are one word, and how many there are."""
    names = [
        function.name.lstrip("_")
        for path in source_files()
        for function in functions_in(path)
        if not re.fullmatch("__.*__", function.name)
    ]
    return sum("_" not in name for name in names), len(names)


def one_word_classes() -> tuple[int, int]:
    """How many names of classes are one word, and how many there are."""
    names = [name for name, places in product_classes().items() for _ in places]
    return sum(len(CAMEL_CASE_WORD.findall(name)) < 2 for name in names), len(names)


def count_subjectless_words() -> str:
    """The number in the code of the product, in documentation and in tests."""
    places: Counter[str] = Counter()
    for path in tracked_files():
        kind = path.parts[0] if path.parts[0] in ("docs", "tests") else "code"
        if path.suffix == ".md":
            kind = "docs"
        places[kind] += len(subjectless_words(path))
    return f"{places['code']} + {places['docs']} + {places['tests']}"


def house_table() -> Iterator[tuple[str, str, str]]:
    """Each measure: what it is, what it is now, what it should be."""
    paths = source_files()
    methods = unrelated_classes_by_method()
    many = {name: n for name, n in methods.most_common() if n > MOST_UNRELATED_CLASSES}
    by_importers = Counter(len(by) for by in importers().values())
    choices = profile_choices()
    loose = [path for path in paths if len(path.parts) == 2 and path.parts[0] == "infra"]
    yield "one-word function names", _share(*one_word_functions()), "< 45 %"
    yield "one-word class names", _share(*one_word_classes()), "< 45 %"
    yield "subjectless words in code + docs + tests", count_subjectless_words(), "0 + 0 + 0"
    yield "class names that stand twice", _listed(repeated_class_names()), "0"
    yield (
        f"method names in more than {MOST_UNRELATED_CLASSES} unrelated classes",
        _listed(f"{name} {n}" for name, n in many.items()),
        "the usual ones",
    )
    yield "modules imported by one other module", f"{by_importers[1]} of {len(importers())}", "< 45"
    yield "places that choose the profile", _listed(choices), "1"
    names = [path.name for path in loose if path.name != "__init__.py"]
    yield "loose files in infra/", _listed(names), "4"
    yield "product files", str(len(paths)), "about 230"
    yield "product lines", str(sum(len(read_lines(path)) for path in paths)), "< 26500"


def _share(some: int, all_of_them: int) -> str:
    return f"{100 * some / all_of_them:.1f} % of {all_of_them}"


def _listed(found: Iterable[str]) -> str:
    names = list(found)
    return f"{len(names)}: {', '.join(names)}" if names else "0"


def print_table(rows: Iterable[Sequence[str]]) -> None:
    """As Markdown, ready for a note."""
    print("| measure | now | wanted |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def print_journey(name: str, uses: Sequence[FileUse]) -> None:
    """The files of a journey, process after process as it goes through them."""
    ran = list(dict.fromkeys(use.path for use in uses if use.kind == "call"))
    given = [path for path in dict.fromkeys(use.path for use in uses) if path not in ran]
    print(f"\n## {name}: {len(ran)} files ran, {len(given)} more define what they were given\n")
    by_process: dict[str, dict[str, None]] = {}
    for use in uses:
        if use.kind == "call":
            by_process.setdefault(use.process, {})[use.path] = None
    for process, paths in by_process.items():
        print(f"- in `{process}`: {', '.join(paths)}")
    print(f"- values of: {', '.join(given)}")


async def print_journeys() -> None:
    """Run each journey and print it."""
    async with temporary_folder() as folder:
        for name, uses in (await embedded_journeys(folder)).items():
            print_journey(name, uses)
    async with temporary_folder() as folder:
        try:
            print_journey("relay to MongoDB", await relay_journey(folder))
        except EngineMissing as error:
            print(f"relay to MongoDB: not measured here ({error})", file=sys.stderr)


def main() -> None:
    """Print the table, and the journeys where they are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="leave out the journeys")
    arguments = parser.parse_args()
    print_table(house_table())
    if not arguments.table:
        asyncio.run(print_journeys())


if __name__ == "__main__":
    main()
