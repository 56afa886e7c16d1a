"""What software a server runs, and how much there is on it: NodeInfo 2.0, and where that is."""

from typing import Annotated, Any, TypedDict

from fastapi import APIRouter
from msgspec import Meta

from api.mastodon.entities import Count, EmptyList, EntityResponse, Url, about, entity
from api.mastodon.instance import PROGRAM_VERSION
from api.state import CurrentState

router = APIRouter(tags=["mastodon"])


class NodeInfoLinkEntity(TypedDict):
    """Where a version of NodeInfo is."""

    rel: Annotated[Url, about("Which version")]
    href: Url


class NodeInfoLinksEntity(TypedDict):
    """Where NodeInfo is."""

    links: list[NodeInfoLinkEntity]


class SoftwareEntity(TypedDict):
    """A program."""

    name: str
    version: str


class ServicesEntity(TypedDict):
    """Other networks that the server is joined to: none."""

    inbound: EmptyList
    outbound: EmptyList


class UserNumbersEntity(TypedDict):
    """How many accounts there are, and how many did something within 30 days."""

    total: Count
    activeMonth: Count


class ServerUsageEntity(TypedDict):
    """How much there is on the server, at most ten minutes old."""

    users: UserNumbersEntity
    localPosts: Count


class NodeInfoEntity(TypedDict):
    """What software a server runs, in the schema of NodeInfo 2.0."""

    version: Annotated[str, Meta(extra_json_schema={"enum": ["2.0"]})]
    software: SoftwareEntity
    protocols: EmptyList
    services: ServicesEntity
    openRegistrations: bool
    usage: ServerUsageEntity
    metadata: Annotated[dict[str, Any], about("`upstream` names the program whose API is here")]


@router.get("/.well-known/nodeinfo")
async def nodeinfo_links(state: CurrentState) -> EntityResponse[NodeInfoLinksEntity]:
    """Where nodeinfo is."""
    relation = "http://nodeinfo.diaspora.software/ns/schema/2.0"
    return entity({"links": [{"rel": relation, "href": f"{state.ports.base_url}/nodeinfo/2.0"}]})


@router.get("/nodeinfo/2.0")
async def nodeinfo(state: CurrentState) -> EntityResponse[NodeInfoEntity]:
    """What software this is. Clients look for the name of the one whose API is here."""
    figures = await state.instance_figures.read()
    return entity(
        {
            "version": "2.0",
            "software": {"name": "starling", "version": PROGRAM_VERSION},
            "protocols": [],
            "services": {"inbound": [], "outbound": []},
            "openRegistrations": True,
            "usage": {
                "users": {"total": figures.users, "activeMonth": figures.active_month},
                "localPosts": figures.posts,
            },
            "metadata": {"upstream": {"name": "mastodon"}},
        }
    )
