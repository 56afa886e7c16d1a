"""What clients of the Mastodon API send, in whichever form they send it.

A request's parameters are those of its query and of its body, which is JSON, a form in the URL's
encoding, or one in parts. All come to the same tree: `a[b]=1` is an object, `a[]=1` and `a[0]=1`
are lists, and what is null or unknown counts as absent.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import from_json
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from api.http.errors import RequestRefused

_KEY: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_SEGMENT: Final = re.compile(r"\[([^\[\]]*)\]")
_MOST_LEVELS: Final = 4
_MOST_FIELDS: Final = 1000


class ClientParameters(BaseModel):
    """Parameters of a route; what is null counts as absent, and what is unknown is ignored."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, given: Any) -> Any:
        if isinstance(given, dict):
            return {key: value for key, value in given.items() if value is not None}
        return given


def _as_list(given: Any) -> Any:
    if given == "":
        return []
    return given if isinstance(given, list) else [given]


def _last(given: Any) -> Any:
    return given[-1] if isinstance(given, list) and given else given


def _absent_where_empty(given: Any) -> Any:
    return None if _last(given) == "" else _last(given)


Texts = Annotated[list[str], BeforeValidator(_as_list)]
"""A list of texts; one text is a list of it."""
Text = Annotated[str, BeforeValidator(_last)]
"""A text; of several, the last."""
OptionalText = Annotated[str | None, BeforeValidator(_absent_where_empty)]
Flag = Annotated[bool | None, BeforeValidator(_absent_where_empty)]
"""`true`, `1`, `on`, `t` and their opposites, in any case; None where it is empty."""
Number = Annotated[int | None, BeforeValidator(_absent_where_empty)]
Upload = Annotated[Any, WithJsonSchema({"type": "string", "contentMediaType": "image/*"})]
"""The bytes of a file, in a form in parts."""


def example(**values: Any) -> ConfigDict:
    """The `model_config` of parameters with an example for the document."""
    return ConfigDict(json_schema_extra={"example": values})


def objects(*names: str, listed: bool = False) -> WithJsonSchema:
    """What a field is in the document: an object of texts, or a list of such."""
    one = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    return WithJsonSchema({"type": "array", "items": one} if listed else one)


P = TypeVar("P", bound=ClientParameters)
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class ParametersOf(Generic[P]):
    """The dependency of routes that take the parameters of a model."""

    def __init__(self, model: type[P]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> P:
        """The parameters of a request. Raises `RequestRefused` (400, 422)."""
        return await read_as(request, self.model)


def reads(model: type[ClientParameters]) -> Any:
    """Has a route take the parameters of a model."""
    return Depends(ParametersOf(model))


def documented_by(model: type[ClientParameters]) -> Callable[[Endpoint], Endpoint]:
    """Say which parameters a route takes that reads them itself."""

    def document(endpoint: Endpoint) -> Endpoint:
        endpoint.__dict__[DOCUMENTED_KEY] = model
        return endpoint

    return document


DOCUMENTED_KEY: Final = "documented_by"
"""Of an endpoint: the model of `documented_by`."""


def dependencies_of(dependant: Dependant) -> Iterator[Any]:
    """What a route depends on, and what that depends on."""
    for one in dependant.dependencies:
        yield one.call
        yield from dependencies_of(one)


async def read_as(request: Request, model: type[P]) -> P:
    """The parameters of a request as a model. Raises `RequestRefused` (400, 422)."""
    try:
        return model.model_validate(await read_parameters(request))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        message = f"Validation failed: {field}: {first['msg']}"
        raise RequestRefused(422, "invalid-body", message) from error


async def read_parameters(request: Request) -> dict[str, Any]:
    """All parameters of a request. Raises `RequestRefused` (400) for a body that can't be read."""
    pairs: list[tuple[str, Any]] = list(request.query_params.multi_items())
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        try:
            async with request.form(max_fields=_MOST_FIELDS) as form:
                pairs += [(name, await _form_value(given)) for name, given in form.multi_items()]
        except RequestRefused:
            raise
        except HTTPException as error:
            raise RequestRefused(400, "malformed-form", f"the form: {error.detail}") from error
    elif body := await request.body():
        pairs += _json_pairs(body)
    return expand_parameters(pairs)


async def _form_value(given: UploadFile | str) -> bytes | str:
    """A text, or the bytes of a file: the body's limit is theirs, too."""
    return given if isinstance(given, str) else await given.read()


def _json_pairs(body: bytes) -> Iterable[tuple[str, Any]]:
    try:
        given = from_json(body)
    except ValueError as error:
        raise RequestRefused(400, "malformed-json", f"the body is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise RequestRefused(422, "invalid-body", "the body has to be a JSON object")
    for key, value in given.items():
        yield (key.removesuffix("[]") if isinstance(value, list) else key), value


def expand_parameters(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The tree that names with brackets stand for."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        found = _KEY.fullmatch(name)
        if found is None:
            continue
        segments = _SEGMENT.findall(found[2])
        if len(segments) > _MOST_LEVELS:
            raise RequestRefused(422, "invalid-body", f"`{name[:40]}` is nested too deeply")
        _put(tree, [found[1], *segments], value)
    return {name: _with_lists(branch) for name, branch in tree.items()}


def _put(branch: dict[str, Any], path: list[str], value: Any) -> None:
    *parents, last = path
    for parent, child in zip(parents, path[1:], strict=True):
        below = branch.setdefault(parent or _item_for(branch, child), {})
        if not isinstance(below, dict):
            return  # `a=1&a[b]=2` is of two minds: the first counts
        branch = below
    if last == "":
        branch[str(len(branch))] = value
    elif last in branch and len(path) == 1:
        before = branch[last]
        branch[last] = [*(before if isinstance(before, list) else [before]), value]
    else:
        branch[last] = value


def _item_for(branch: dict[str, Any], child: str) -> str:
    """Of `a[][b]=1&a[][c]=2&a[][b]=3`, the first two are of one object, as in Rails."""
    newest = str(len(branch) - 1)
    below = branch.get(newest)
    return newest if child and isinstance(below, dict) and child not in below else str(len(branch))


def _with_lists(branch: Any) -> Any:
    """The branch with lists for objects whose keys are all numbers."""
    if not isinstance(branch, dict):
        return branch
    below = {name: _with_lists(value) for name, value in branch.items()}
    if below and all(name.isascii() and name.isdecimal() for name in below):
        return [below[name] for name in sorted(below, key=lambda name: (len(name), name))]
    return below
