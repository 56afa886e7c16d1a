"""The package `eventstoredb`, imported without setuptools.

The version of betterproto that it pins asks `pkg_resources` for its own version. Setuptools has
none since its version 82, and an installed program should have no setuptools at all. So while
betterproto is imported the standard library answers that question. Import the package's modules
after this one.
"""

import importlib
import sys
from importlib.metadata import distribution
from types import ModuleType
from typing import Final

_ASKED: Final = "pkg_resources"


def _import_betterproto() -> None:
    answering = ModuleType(_ASKED)
    answering.get_distribution = distribution  # type: ignore[attr-defined]
    before = sys.modules.get(_ASKED)
    sys.modules[_ASKED] = answering
    try:
        importlib.import_module("betterproto")
    finally:
        del sys.modules[_ASKED]
        if before is not None:
            sys.modules[_ASKED] = before


_import_betterproto()
