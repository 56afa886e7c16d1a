"""What pyproject.toml and the locks say of the distribution, held against the code."""

import re
import sys
import tomllib
from importlib.metadata import metadata, packages_distributions

import pytest

from tests.support.requirements import REPOSITORY

PACKAGES = ("events", "commands", "projections", "api", "streams", "infra")
RUN_TIME_EXTRAS = ("analysis", "plots", "s3", "simulate", "streaming", "eventstoredb", "otel")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    """The distributions that requirements name."""
    found = (re.match(r"[A-Za-z0-9._-]+", each) for each in requirements)
    return {match[0].lower().replace("_", "-") for match in found if match}


def locked(lock: str) -> set[str]:
    """The distributions in a lock."""
    text = (REPOSITORY / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))


def imported() -> set[str]:
    """The top names that the product imports, its own and those of the standard library too."""
    line = re.compile(r"^ *(?:from (\w+)[\w.]* import .+|import (\w+)[\w.]*(?: as \w+)?)$", re.M)
    prose = re.compile(r'"""[^"]*(?:"{1,2}[^"]+)*"""')
    return {
        hit[1] or hit[2]
        for package in PACKAGES
        for file in (REPOSITORY / package).rglob("*.py")
        for hit in line.finditer(prose.sub("", file.read_text(encoding="utf-8")))
    }


def test_everything_that_the_product_imports_is_named_in_pyproject_toml() -> None:
    extras = PROJECT["optional-dependencies"]
    declared = names([*PROJECT["dependencies"], *(r for e in RUN_TIME_EXTRAS for r in extras[e])])
    distributions = packages_distributions()
    outside = imported() - set(sys.stdlib_module_names) - set(PACKAGES)
    assert {"msgspec", "kafka", "linkify_it"} < outside
    missing = {
        name
        for name in outside
        if not {d.lower().replace("_", "-") for d in distributions.get(name, [name])} & declared
    }
    # pydantic's other half, of which each version of pydantic takes exactly one
    assert missing - {"pydantic_core"} == set()


def test_every_dependency_has_a_floor() -> None:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    everything = [requirement for group in groups for requirement in group]
    assert [r for r in everything if not re.search(r"[>=]=\d|^starling-feed\[", r)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_that_it_is_typed(package: str) -> None:
    assert (REPOSITORY / package / "py.typed").read_bytes() == b""


def test_the_distribution_can_not_be_uploaded_by_mistake() -> None:
    installed = metadata("starling-feed")
    assert "Private :: Do Not Upload" in (installed.get_all("Classifier") or [])
    assert installed["Version"] == PROJECT["version"]


def test_the_run_time_lock_holds_neither_build_tools_nor_what_one_command_needs() -> None:
    assert locked("build") == {"setuptools"}
    assert locked("run") & {"setuptools", "pip", "wheel", "aiohttp", "duckdb", "pyarrow"} == set()


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [("run", "setup"), ("setup", "dev"), ("dev", "test"), ("run", "streaming")],
)
def test_each_lock_holds_the_one_before(smaller: str, larger: str) -> None:
    assert locked(smaller) < locked(larger)
