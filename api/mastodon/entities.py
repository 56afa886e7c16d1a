"""How Mastodon's entities are declared, and how routes say which one they answer.

An entity is a `TypedDict` beside the code that renders it. Renderers make dictionaries of it, so
that mypy compares the two, and nothing is built or copied at a request; what is put together of
bytes, tests compare. Its component in the OpenAPI document is called as Mastodon calls it: as the
class, without `Entity`. A field has a description where Mastodon's meaning isn't plain.

A route's return type says what it answers: `EntityResponse[StatusEntity]`.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Generic, TypedDict, TypeVar

from msgspec import Meta

from api.http.ready_json import ReadyJson
from api.schemas import encode_json

CLASS_SUFFIX: Final = "Entity"
"""What the name of a class has and that of its component has not."""

E = TypeVar("E")
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def about(sentence: str) -> Meta:
    """What a field means: its description in the document."""
    return Meta(description=sentence)


Id = Annotated[str, Meta(description="An id: a decimal number in a text", pattern="^[0-9]+$")]
Time = Annotated[
    str,
    Meta(
        description="In UTC, with milliseconds",
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
        extra_json_schema={"format": "date-time"},
    ),
]
Url = Annotated[str, Meta(extra_json_schema={"format": "uri"})]
Html = Annotated[str, Meta(extra_json_schema={"contentMediaType": "text/html"})]
Count = Annotated[int, Meta(ge=0)]
EmptyList = Annotated[list[Any], Meta(description="Always empty here", max_length=0)]


class EmptyEntity(TypedDict):
    """An object without fields: it was done."""


class EntityResponse(ReadyJson, Generic[E]):
    """A response with an entity as JSON."""

    entity: Any = None
    """The entity's type, in the type of a route's response."""

    def __class_getitem__(cls, entity: Any) -> type["EntityResponse[Any]"]:
        """A class of its own, so that FastAPI sees a response in it."""
        return type(cls.__name__, (cls,), {"entity": entity})


def entity(
    answer: E | bytes, headers: Mapping[str, str] | None = None, status: int = 200
) -> EntityResponse[E]:
    """A response with an entity: an object, or JSON already."""
    body = answer if isinstance(answer, bytes) else encode_json(answer)
    return EntityResponse(body, status, headers)


def answers_also(status: int, entity: Any) -> Callable[[Endpoint], Endpoint]:
    """Say which entity a route answers with another status than 200."""

    def document(endpoint: Endpoint) -> Endpoint:
        endpoint.__dict__[_ALSO_KEY] = {status: entity}
        return endpoint

    return document


_ALSO_KEY: Final = "answers_also"


def answered_entities(endpoint: Callable[..., Any]) -> dict[int, Any]:
    """The types of the entities that a route answers, by status."""
    found: dict[int, Any] = dict(vars(endpoint).get(_ALSO_KEY, {}))
    answered = endpoint.__annotations__.get("return")
    if isinstance(answered, type) and issubclass(answered, EntityResponse):
        found[200] = answered.entity
    return found
