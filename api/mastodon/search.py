"""Search: accounts, statuses and hashtags at once, and accounts alone."""

from collections.abc import Sequence
from typing import Annotated, Final, TypedDict

from fastapi import APIRouter
from pydantic import Field

from api.http.errors import token_missing
from api.http.request import blocked_users, hidden_users
from api.http.tokens import Reader, Viewer
from api.mastodon.account_entities import AccountEntity
from api.mastodon.client_pages import clamped_limit, cursor_from
from api.mastodon.discoveries import TagEntity, tag_entity
from api.mastodon.entities import EntityResponse, about, entity
from api.mastodon.instance import domain_of
from api.mastodon.parameters import ClientParameters, Flag, OptionalText, Text, example, reads
from api.mastodon.status_entities import StatusEntity
from api.schemas import encode_json
from api.search.account_search import find_accounts
from api.search.search_words import query_words
from api.state import ApiState, CurrentState
from api.views.posts import SinglePost
from events.hashtags import fold_hashtag
from events.ids.snowflake import parse_decimal
from projections.pages import PageRequest

_MOST: Final = 40
_MOST_SKIPPED: Final = 160
"""Further in than this, an offset finds nothing: the index has cursors, not offsets."""
_MOST_LOOKED_AT: Final = 400
"""What is found, of which those are wanted that one author wrote, or whom one follows."""

router = APIRouter(prefix="/api", tags=["mastodon"])


class SearchEntity(TypedDict):
    """What was found. Each of the three is there, whatever kind was asked for."""

    accounts: list[AccountEntity]
    statuses: list[StatusEntity]
    hashtags: Annotated[list[TagEntity], about("Without their history")]


class SearchQuery(ClientParameters):
    """What is searched for; each of the three kinds unless one is named."""

    model_config = example(q="#world", type="hashtags")

    q: Annotated[
        Text, Field(description="Words, `@bob`, `#tag`, or the URL of a post or an account")
    ] = ""
    type: Annotated[
        OptionalText, Field(description="`accounts`, `statuses` or `hashtags`: this kind alone")
    ] = None
    resolve: Annotated[
        Flag, Field(description="Needs a token; there is no other server to ask")
    ] = None
    following: Annotated[Flag, Field(description="Only accounts that one follows")] = None
    account_id: Annotated[
        OptionalText, Field(description="Only statuses that this account wrote")
    ] = None
    limit: Annotated[
        OptionalText, Field(description="How many of each kind: 20 unless said, 40 at most")
    ] = None
    offset: Annotated[
        OptionalText, Field(description="How many to leave out of each kind; needs a token")
    ] = None
    max_id: Annotated[OptionalText, Field(description="Only statuses older than this one")] = None
    min_id: Annotated[OptionalText, Field(description="Only statuses newer than this one")] = None

    @property
    def author(self) -> int | None:
        """The author whose statuses alone are wanted; 0, whose there are none, for no id."""
        return None if self.account_id is None else parse_decimal(self.account_id) or 0


class AccountQuery(ClientParameters):
    """Accounts that are searched for, perhaps only among those whom one follows."""

    q: Annotated[Text, Field(description="Words")] = ""
    limit: Annotated[OptionalText, Field(description="How many: 40 unless said, 80 at most")] = None
    following: Annotated[Flag, Field(description="Only accounts that one follows")] = None


@router.get("/v2/search")
async def search(
    viewer: Viewer, state: CurrentState, wanted: Annotated[SearchQuery, reads(SearchQuery)]
) -> EntityResponse[SearchEntity]:
    """The entity `Search`. The URL of a post or an account of this server finds it."""
    if not viewer and (wanted.resolve or wanted.offset):
        raise token_missing()
    limit = clamped_limit(wanted.limit, 20, _MOST)
    skipped = min(parse_decimal(wanted.offset or "") or 0, _MOST_SKIPPED)
    query = wanted.q.strip()

    def kind(name: str) -> bool:
        return wanted.type in (None, name)

    most, users, posts, tags = skipped + limit, list[int](), list[int](), list[TagEntity]()
    if kind("accounts"):
        users = await _find_users(state, query, viewer, most, wanted.following)
    if kind("statuses"):
        posts = await _find_posts(state, query, viewer, most, wanted)
    if kind("hashtags"):
        tags = await _find_tags(state, query, most)
    rendered = await state.statuses.accounts.render(users[skipped:])
    accounts = b",".join(rendered[user] for user in users[skipped:] if user in rendered)
    shown = [SinglePost(post) for post in posts[skipped:]]
    statuses = await state.statuses.render_list(shown, viewer)
    hashtags = encode_json(tags[skipped:])
    return entity(b'{"accounts":[%s],"statuses":%s,"hashtags":%s}' % (accounts, statuses, hashtags))


@router.get("/v1/accounts/search")
async def search_accounts(
    reader: Reader, state: CurrentState, wanted: Annotated[AccountQuery, reads(AccountQuery)]
) -> EntityResponse[list[AccountEntity]]:
    """Accounts whose handle or name begins with the words."""
    limit = clamped_limit(wanted.limit, 40, 80)
    users = await _find_users(state, wanted.q.strip(), reader, limit, wanted.following)
    rendered = await state.statuses.accounts.render(users)
    return entity(b"[" + b",".join(rendered[user] for user in users if user in rendered) + b"]")


async def _find_users(
    state: ApiState, query: str, viewer: int, limit: int, following: bool | None
) -> list[int]:
    """Accounts, the one whose handle or address is the query first, though it be blocked: clients
    look it up so in order to end the block.
    """
    words = [] if _is_address(query) else query_words(_local_name(state, query))
    handle = _handle_in(state, query)
    most = max(limit, _MOST_LOOKED_AT) if following else limit
    found = await find_accounts(state.ports, handle, words, PageRequest(most))
    if following:
        followed = (await state.ports.home.viewer_context(viewer)).following if viewer else ()
        return [user for user in found.users if user in followed][:limit]
    blocked = await blocked_users(state, viewer)
    return [user for user in found.users if user == found.called or user not in blocked][:limit]


async def _find_posts(
    state: ApiState, query: str, viewer: int, limit: int, wanted: SearchQuery
) -> list[int]:
    """Posts with all words, newest first; the one whose address is the query."""
    hidden = await hidden_users(state, viewer)
    if _is_address(query):
        post = _post_at(state, query)
        pieces = await state.statuses.pieces((post,) if post else ())
        return [id for id, one in pieces.items() if one.author not in hidden]
    words = query_words(query)
    if not words:
        return []
    most = limit if wanted.author is None else max(limit, _MOST_LOOKED_AT)
    request = PageRequest(most, cursor_from(wanted.max_id), min_id=cursor_from(wanted.min_id))
    found = await state.ports.search.index.find_posts(words, request)
    shown = [
        post for post, author in found if author not in hidden and wanted.author in (None, author)
    ]
    return shown[:limit]


async def _find_tags(state: ApiState, query: str, limit: int) -> list[TagEntity]:
    prefix = "" if _is_address(query) else fold_hashtag(query.removeprefix("#"))
    if not prefix:
        return []
    found: Sequence[tuple[str, int]]
    found = await state.ports.search.index.find_hashtags(prefix, min(limit, _MOST))
    return [tag_entity(tag, state.ports.base_url, []) for tag, _ in found]


def _is_address(query: str) -> bool:
    return query.startswith(("http://", "https://"))


def _local_name(state: ApiState, query: str) -> str:
    """`bob` of `@bob@our.domain`; other queries as they are."""
    name, _, domain = query.removeprefix("@").partition("@")
    return name if domain.lower() == domain_of(state.ports.base_url).lower() else query


def _handle_in(state: ApiState, query: str) -> str:
    """The handle that a query is, or whose page's address it is; empty for other addresses."""
    if not _is_address(query):
        return _local_name(state, query)
    page = f"{state.ports.base_url}/@"
    return query.removeprefix(page) if query.startswith(page) else ""


def _post_at(state: ApiState, address: str) -> int | None:
    """The post of an address `BASE/@handle/ID`."""
    page = f"{state.ports.base_url}/@"
    return parse_decimal(address.rpartition("/")[2]) if address.startswith(page) else None
