"""Lists of what Starling does not have. Clients ask for them and show an error for a 404."""

from typing import Annotated, Final, TypedDict

from fastapi import APIRouter

from api.http.errors import RequestRefused
from api.http.tokens import Reader
from api.mastodon.client_request import AccountId
from api.mastodon.entities import EmptyEntity, EmptyList, EntityResponse, about, entity

OPEN_LISTS: Final = ("v1/custom_emojis", "v1/announcements", "v1/instance/rules", "v1/trends/links")
"""Lists that need no token."""
OWN_LISTS: Final = (
    "v1/conversations",
    "v1/follow_requests",
    "v1/featured_tags",
    "v1/scheduled_statuses",
    "v1/domain_blocks",
    "v1/endorsements",
    "v1/timelines/link",
)
"""Lists of a signed-in user."""

router = APIRouter(prefix="/api", tags=["mastodon"])


PreferencesEntity = TypedDict(
    "PreferencesEntity",
    {
        "posting:default:visibility": Annotated[str, about("`public`: clients send it with posts")],
        "posting:default:sensitive": bool,
        "posting:default:language": None,
        "reading:expand:media": Annotated[str, about("`default`: sensitive ones are hidden")],
        "reading:expand:spoilers": bool,
    },
)
PreferencesEntity.__doc__ = "How one posts and reads: the same for all."


async def _open_list() -> EntityResponse[EmptyList]:
    return entity([])


async def _own_list(reader: Reader) -> EntityResponse[EmptyList]:
    return entity([])


for _path in OPEN_LISTS:
    router.add_api_route(f"/{_path}", _open_list, methods=["GET"], name=f"empty_{_path}")
for _path in OWN_LISTS:
    router.add_api_route(f"/{_path}", _own_list, methods=["GET"], name=f"empty_{_path}")


@router.post("/v1/featured_tags")
@router.post("/v1/domain_blocks")
@router.delete("/v1/domain_blocks")
async def refuse_change(reader: Reader) -> EntityResponse[EmptyEntity]:
    """Refused: nothing can be put into these lists."""
    raise RequestRefused(422, "invalid-body", "Validation failed: this server doesn't have these")


@router.get("/v1/accounts/{id}/featured_tags")
async def featured_tags_of_account(user: AccountId) -> EntityResponse[EmptyList]:
    """An empty list; clients read it before they show an account."""
    return entity([])


@router.get("/v1/preferences")
async def preferences(reader: Reader) -> EntityResponse[PreferencesEntity]:
    """The entity `Preferences`; what a client sends follows from it."""
    return entity(
        {
            "posting:default:visibility": "public",
            "posting:default:sensitive": False,
            "posting:default:language": None,
            "reading:expand:media": "default",
            "reading:expand:spoilers": False,
        }
    )
