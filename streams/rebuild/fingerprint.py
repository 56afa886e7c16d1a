"""What a view was built by: a fingerprint of a projection's tables and code.

A projection whose code changed without its `version` goes on in a view of which the older part was
made by the older code, and nothing else would notice. So each view is stored with the fingerprint
of what built it, and `starling projections check` and the start of a projector or worker compare.

The fingerprint covers the declarations of the tables, and the class of the projection with all that
it uses of its package, without comments, docstrings and layout. Queries beside it may change, and
so may the ports in `projections/projection.py`, `store.py` and `tables.py`. It is the same on every
machine and for every release of Python that has the same syntax tree for the code.
"""

import ast
import hashlib
import inspect
import logging
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple

from projections.projection import Projection
from projections.tables import CounterTable, Table

_PORTS: Final = frozenset(
    {"projections.projection", "projections.store", "projections.tables", "projections.pages"}
)
_UNSTABLE_FIELDS: Final = frozenset({"ctx", "kind", "type_comment"})
"""Of syntax trees: they say nothing, or not the same in every release of Python."""

_logger = logging.getLogger(__name__)

CodeState = Literal["same", "changed", "unknown", "rebuild due", "absent"]


class ViewOrigin(NamedTuple):
    """What built a view: a version of its projection, and its fingerprint, empty where unknown."""

    version: int
    fingerprint: str


class CodeCheck(NamedTuple):
    """Whether a projection is what built its current view.

    `changed` is the finding: the version is the same, the fingerprint is not. `unknown`: the view
    was built by a program that stored no fingerprint. `rebuild due`: the version was raised.
    """

    name: str
    version: int
    state: CodeState
    fingerprint: str
    built_by: str


def check_code(projection: Projection, origin: ViewOrigin | None) -> CodeCheck:
    """Compare a projection with what built its current view; None where there is none."""
    fingerprint = projection_fingerprint(projection)
    state: CodeState = "same"
    if origin is None:
        state = "absent"
    elif origin.version != projection.version:
        state = "rebuild due"
    elif not origin.fingerprint or not fingerprint:
        state = "unknown"
    elif origin.fingerprint != fingerprint:
        state = "changed"
    built_by = origin.fingerprint if origin is not None else ""
    return CodeCheck(projection.name, projection.version, state, fingerprint, built_by)


def warn_of_changed_code(projection: Projection, origin: ViewOrigin) -> None:
    """Log one line where a view was built by other code of the same version."""
    if check_code(projection, origin).state == "changed":
        _logger.warning(
            "the code or the tables of %s changed since its view was built: raise its version "
            "(now %d), or run 'starling projections rebuild %s'",
            projection.name, projection.version, projection.name,
        )  # fmt: skip


def projection_fingerprint(projection: Projection) -> str:
    """16 hexadecimal digits; empty where the source of the projection is not there."""
    tables = [_table_text(table) for table in projection.tables]
    kind = type(projection)
    try:
        code = dict(_reached_code(kind.__module__, kind.__name__, set()))
    except (OSError, TypeError):  # no source: the program was installed without it
        return ""
    text = "\n".join([*tables, *(f"{name}: {code[name]}" for name in sorted(code))])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _table_text(table: Table[Any] | CounterTable[Any]) -> str:
    columns = [f"{name} {kind}" for name, kind in table.row_type.__annotations__.items()]
    indexes = table.indexes if isinstance(table, Table) else "counts"
    return f"{table.name} {table.key_size} {columns} {indexes}"


def _reached_code(module: str, name: str, seen: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What a name of a module is made of, and all that it uses of its package, as text."""
    if (module, name) in seen or module in _PORTS:
        return
    seen.add((module, name))
    node = _definitions(module).get(name)
    if isinstance(node, ast.ImportFrom):
        origin = node.module or ""
        if origin.partition(".")[0] == module.partition(".")[0]:
            yield from _reached_code(origin, _imported_name(node, name), seen)
    elif node is not None:
        yield f"{module}.{name}", _tree_text(node)
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                yield from _reached_code(module, part.id, seen)


def _imported_name(node: ast.ImportFrom, name: str) -> str:
    return next(alias.name for alias in node.names if name == (alias.asname or alias.name))


@lru_cache(maxsize=64)
def _definitions(module: str) -> Mapping[str, ast.stmt]:
    """The statements that define the names of a module."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(inspect.getsource(import_module(module))).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found[node.name] = node
            case ast.Assign(targets=targets):
                names = (part for target in targets for part in ast.walk(target))
                found |= {part.id: node for part in names if isinstance(part, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = node
            case ast.ImportFrom(names=aliases):
                found |= {alias.asname or alias.name: node for alias in aliases}
    return found


def _tree_text(node: Any) -> str:
    """A syntax tree without strings that stand alone, as docstrings do."""
    if isinstance(node, list):
        return f"[{', '.join(_tree_text(each) for each in node if not _is_docstring(each))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    used = {
        name: value
        for name, value in ast.iter_fields(node)
        if name not in _UNSTABLE_FIELDS and value is not None and value != []
    }
    inner = ", ".join(
        f"{name}={_tree_text(value)}" for name, value in sorted(used.items(), key=itemgetter(0))
    )
    return f"{type(node).__name__}({inner})"


def _is_docstring(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
