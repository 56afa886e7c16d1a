"""What a reader may find: hashtags that are used more than usual, and accounts to follow."""

from collections.abc import Iterable
from typing import Annotated, Final, NotRequired, TypedDict

from fastapi import APIRouter, Request
from msgspec import Meta
from pydantic import Field

from api.http.request import Commands, hidden_users
from api.http.tokens import Reader, Viewer
from api.mastodon.account_entities import AccountEntity
from api.mastodon.client_pages import clamped_limit
from api.mastodon.client_request import AccountSubject, run_seen
from api.mastodon.content import hashtag_url
from api.mastodon.entities import EmptyEntity, EntityResponse, Url, about, entity
from api.mastodon.parameters import ClientParameters, OptionalText, documented_by
from api.mastodon.status_entities import StatusEntity
from api.state import ApiState, CurrentState
from api.views.posts import SinglePost
from api.views.recommendations import find_users_to_follow
from commands.dismissal import DismissRecommendation
from events.ids.snowflake import parse_decimal
from projections import trending
from projections.trending_posts import find_trending_posts

_DAY_MS: Final = 86_400_000
_SHOWN_DAYS: Final = 7
_MOST_TRENDING: Final = 200
_MOST_SKIPPED: Final = 160

router = APIRouter(prefix="/api", tags=["mastodon"])


_Number = Annotated[str, Meta(pattern="^[0-9]+$")]


class TagHistoryEntity(TypedDict):
    """How a hashtag was used on a day. Numbers are texts."""

    day: Annotated[_Number, about("Its midnight in UTC, in Unix seconds")]
    uses: Annotated[_Number, about("Posts with the hashtag")]
    accounts: Annotated[_Number, about("Accounts that wrote them")]


class TagEntity(TypedDict):
    """A hashtag."""

    id: Annotated[str, about("The same as `name`")]
    name: Annotated[str, about("Folded, without `#`")]
    url: Url
    history: Annotated[list[TagHistoryEntity], about("Seven days, today first")]
    following: NotRequired[Annotated[bool, about("Only with a user's token")]]


class SuggestionEntity(TypedDict):
    """An account to follow."""

    source: Annotated[str, about("As of before version 4.3: `past_interactions`")]
    sources: Annotated[list[str], about("Why: `friends_of_friends`")]
    account: AccountEntity


class OffsetPage(ClientParameters):
    """Which of them are wanted."""

    limit: Annotated[
        OptionalText, Field(description="How many; a number above the most is taken for it")
    ] = None
    offset: Annotated[
        OptionalText, Field(description="How many to leave out; suggestions know no offset")
    ] = None


def tag_entity(name: str, base_url: str, history: list[TagHistoryEntity]) -> TagEntity:
    """The entity `Tag` of a folded hashtag."""
    return {"id": name, "name": name, "url": hashtag_url(base_url, name), "history": history}


def tag_history(uses: Iterable[trending.TagUse], now_ms: int) -> list[TagHistoryEntity]:
    """The uses of seven days, today first; a day is named by its midnight in Unix seconds."""
    today = now_ms - now_ms % _DAY_MS
    days = {today - n * _DAY_MS: [0, 0] for n in range(_SHOWN_DAYS)}
    for use in uses:
        counted = days.get(use.since - use.since % _DAY_MS)
        if counted is not None:
            counted[0] += use.uses
            counted[1] += use.accounts
    return [
        {"day": str(day // 1000), "uses": str(uses), "accounts": str(accounts)}
        for day, (uses, accounts) in days.items()
    ]


@router.get("/v1/trends/tags")
@router.get("/v1/trends")
@documented_by(OffsetPage)
async def trends(request: Request, state: CurrentState) -> EntityResponse[list[TagEntity]]:
    """Hashtags that are used more than usual: entities `Tag`."""
    limit = clamped_limit(request.query_params.get("limit"), 10, 20)
    skipped = parse_decimal(request.query_params.get("offset", "")) or 0
    now_ms = state.ports.clock_ms()
    store = state.ports.views.current_store("trending")
    found = await trending.find_trends(store, now_ms, min(skipped, 50) + limit)
    base_url = state.ports.base_url
    return entity(
        [tag_entity(one.tag, base_url, tag_history(one.history, now_ms)) for one in found[skipped:]]
    )


@router.get("/v1/trends/statuses")
@documented_by(OffsetPage)
async def trending_statuses(
    request: Request, viewer: Viewer, state: CurrentState
) -> EntityResponse[list[StatusEntity]]:
    """Posts that many favourite and reblog just now."""
    limit = clamped_limit(request.query_params.get("limit"), 20, 40)
    skipped = min(parse_decimal(request.query_params.get("offset", "")) or 0, _MOST_SKIPPED)
    store = state.ports.views.current_store
    now_ms = state.ports.clock_ms()
    found = await find_trending_posts(store("timeline"), store("posts"), now_ms, _MOST_TRENDING)
    hidden = await hidden_users(state, viewer)
    entries = [SinglePost(post) for post in found]
    shown = await state.post_views.exclude_authors(entries, hidden)
    return entity(await state.statuses.render_list(shown[skipped : skipped + limit], viewer))


async def _suggested(state: ApiState, reader: int, request: Request) -> list[bytes]:
    limit = clamped_limit(request.query_params.get("limit"), 40, 80)
    found = [one.user for one in await find_users_to_follow(state, reader, limit)]
    accounts = await state.statuses.accounts.render(found)
    return [accounts[user] for user in found if user in accounts]


@router.get("/v2/suggestions")
@documented_by(OffsetPage)
async def suggestions(
    request: Request, reader: Reader, state: CurrentState
) -> EntityResponse[list[SuggestionEntity]]:
    """Accounts to follow: entities `Suggestion`."""
    template = b'{"source":"past_interactions","sources":["friends_of_friends"],"account":%s}'
    found = await _suggested(state, reader, request)
    return entity(b"[" + b",".join([template % account for account in found]) + b"]")


@router.get("/v1/suggestions")
@documented_by(OffsetPage)
async def suggested_accounts(
    request: Request, reader: Reader, state: CurrentState
) -> EntityResponse[list[AccountEntity]]:
    """Accounts to follow."""
    return entity(b"[" + b",".join(await _suggested(state, reader, request)) + b"]")


@router.delete("/v1/suggestions/{id}")
async def dismiss_suggestion(
    commands: Commands, user: AccountSubject, state: CurrentState
) -> EntityResponse[EmptyEntity]:
    """Don't suggest an account again."""
    await run_seen(state, commands, DismissRecommendation(user))
    return entity({})
