"""Lists: accounts whose posts one reads apart."""

from collections.abc import Sequence
from typing import Annotated, TypedDict

from fastapi import APIRouter, Path, Request
from msgspec import Meta
from pydantic import Field

from api.http.errors import RequestRefused
from api.http.request import Commander, Commands
from api.http.tokens import Reader
from api.mastodon.account_entities import AccountEntity
from api.mastodon.client_pages import AccountsPage, StatusesPage
from api.mastodon.client_request import AccountId, await_views, run_seen
from api.mastodon.entities import EmptyEntity, EntityResponse, Id, about, entity
from api.mastodon.parameters import ClientParameters, OptionalText, Texts, example, reads
from api.mastodon.status_entities import StatusEntity
from api.state import ApiState, CurrentState
from commands.decider import Command
from commands.lists import (
    REPLIES_POLICIES,
    AddListMember,
    ChangeList,
    CreateList,
    DeleteList,
    RemoveListMember,
    no_such_list,
)
from events.ids.snowflake import parse_decimal
from projections import lists
from projections.list_timeline import answered_accounts, read_list_timeline, shown_members
from projections.lists import ListRow
from projections.timeline import EntryPage

_VIEWS = ("lists",)

router = APIRouter(prefix="/api/v1", tags=["mastodon"])


class ListEntity(TypedDict):
    """A list of accounts whose posts one reads apart."""

    id: Id
    title: str
    replies_policy: Annotated[
        str,
        Meta(
            description="Which answers are shown: to accounts that one follows, to members of "
            "the list, or none",
            extra_json_schema={"enum": list(REPLIES_POLICIES)},
        ),
    ]
    exclusive: Annotated[bool, about("Always false: the posts stay in the home timeline")]


class ListValues(ClientParameters):
    """What a list is called, and which answers it shows. `exclusive` is not kept."""

    model_config = example(title="Friends", replies_policy="list")

    title: Annotated[OptionalText, Field(description="What it is called")] = None
    replies_policy: Annotated[
        OptionalText, Field(description="`followed`, `list` or `none`: which answers it shows")
    ] = None


class NewMembers(ClientParameters):
    """The accounts to put on a list, or to take off it."""

    model_config = example(account_ids=["7412308000010240"])

    account_ids: Annotated[Texts, Field(description="Accounts that one follows")] = Field(
        default_factory=list
    )

    @property
    def users(self) -> Sequence[int]:
        """Their ids; 0 for what is no id."""
        return [parse_decimal(text) or 0 for text in self.account_ids]


async def _own_list(id: Annotated[str, Path()], reader: Reader, state: CurrentState) -> ListRow:
    """The reader's list in the address. Raises `NotFound`."""
    return await _find_list(state, reader, parse_decimal(id) or 0)


async def _find_list(state: ApiState, reader: int, id: int) -> ListRow:
    row = await lists.find_list(state.ports.views.current_store("lists"), reader, id)
    if row is None:
        raise no_such_list(id)
    return row


def _entity(state: ApiState, row: ListRow) -> ListEntity:
    return {
        "id": str(row.list),
        "title": state.ports.open_text(row.title),
        "replies_policy": row.replies_policy,
        "exclusive": False,
    }


@router.get("/lists")
async def get_lists(reader: Reader, state: CurrentState) -> EntityResponse[list[ListEntity]]:
    """One's lists: entities `List`."""
    found = await lists.read_lists(state.ports.views.current_store("lists"), reader)
    return entity([_entity(state, row) for row in found])


@router.post("/lists")
async def create_list(
    commands: Commands, state: CurrentState, new: Annotated[ListValues, reads(ListValues)]
) -> EntityResponse[ListEntity]:
    """Make a list."""
    command = CreateList(new.title or "", new.replies_policy or "list")
    outcome = await run_seen(state, commands, command, views=_VIEWS)
    return entity(_entity(state, await _find_list(state, commands.actor, outcome.id)))


@router.get("/lists/{id}")
async def get_list(
    id: Annotated[str, Path()], reader: Reader, state: CurrentState
) -> EntityResponse[ListEntity]:
    """One of one's lists."""
    return entity(_entity(state, await _own_list(id, reader, state)))


@router.put("/lists/{id}")
async def change_list(
    commands: Commands,
    id: Annotated[str, Path()],
    state: CurrentState,
    new: Annotated[ListValues, reads(ListValues)],
) -> EntityResponse[ListEntity]:
    """Change a list; what is absent stays as it was."""
    command = ChangeList(parse_decimal(id) or 0, new.title, new.replies_policy)
    await run_seen(state, commands, command, views=_VIEWS)
    return entity(_entity(state, await _find_list(state, commands.actor, command.list)))


@router.delete("/lists/{id}")
async def delete_list(
    commands: Commands, id: Annotated[str, Path()], state: CurrentState
) -> EntityResponse[EmptyEntity]:
    """Delete a list."""
    await run_seen(state, commands, DeleteList(parse_decimal(id) or 0), views=_VIEWS)
    return entity({})


@router.get("/lists/{id}/accounts")
async def list_members(
    id: Annotated[str, Path()],
    request: Request,
    page: AccountsPage,
    reader: Reader,
    state: CurrentState,
) -> EntityResponse[list[AccountEntity]]:
    """Who is on a list, put there last first; with `limit=0` all."""
    row = await _own_list(id, reader, state)
    members = await lists.read_members(state.ports.views.current_store("lists"), reader, row.list)
    if request.query_params.get("limit") == "0":
        return entity(await state.statuses.accounts.render_list([one.member for one in members]))
    shown = lists.page_of_members(members, page.wanted)
    body = await state.statuses.accounts.render_list([one.member for one in shown])
    return entity(body, page.link_header([one.id for one in shown]))


@router.post("/lists/{id}/accounts")
async def add_members(
    commands: Commands,
    id: Annotated[str, Path()],
    state: CurrentState,
    new: Annotated[NewMembers, reads(NewMembers)],
) -> EntityResponse[EmptyEntity]:
    """Put accounts that one follows on a list."""
    following = (await state.ports.home.viewer_context(commands.actor)).following
    if not following.issuperset(new.users):
        raise RequestRefused(404, "user-not-found", "a list has accounts that you follow")
    wanted = parse_decimal(id) or 0
    await _run_each(state, commands, [AddListMember(wanted, user) for user in new.users])
    return entity({})


@router.delete("/lists/{id}/accounts")
async def remove_members(
    commands: Commands,
    id: Annotated[str, Path()],
    state: CurrentState,
    gone: Annotated[NewMembers, reads(NewMembers)],
) -> EntityResponse[EmptyEntity]:
    """Take accounts off a list."""
    wanted = parse_decimal(id) or 0
    await _run_each(state, commands, [RemoveListMember(wanted, user) for user in gone.users])
    return entity({})


async def _run_each(state: ApiState, commands: Commander, wanted: Sequence[Command]) -> None:
    # An idempotency key is for one command, and these are several that may be given twice.
    each = Commander(state, commands.actor, None)
    outcomes = [await each.run(command) for command in wanted]
    if outcomes:
        await await_views(state, outcomes[-1], _VIEWS)


@router.get("/accounts/{id}/lists")
async def lists_with_account(
    reader: Reader, user: AccountId, state: CurrentState
) -> EntityResponse[list[ListEntity]]:
    """Those of one's lists that an account is on."""
    store = state.ports.views.current_store("lists")
    return entity([_entity(state, row) for row in await lists.lists_with(store, reader, user)])


@router.get("/timelines/list/{id}")
async def list_timeline(
    id: Annotated[str, Path()], page: StatusesPage, reader: Reader, state: CurrentState
) -> EntityResponse[list[StatusEntity]]:
    """What the accounts on a list post and reblog, as long as one follows them."""
    views, wanted = state.ports.views, parse_decimal(id) or 0
    content = await lists.read_content(views.current_store("lists"), reader, wanted)
    if content is None:
        raise no_such_list(wanted)
    context = await state.ports.home.viewer_context(reader)
    members = shown_members(content, context)
    entries = await read_list_timeline(
        views.current_store("timeline"), members, page.wanted, context.hidden
    )
    shown = await _without_answers(state, entries, answered_accounts(content, context))
    body = await state.statuses.render_list(shown, reader)
    ids = [entry.id for entry in entries]
    return entity(body, page.link_header(ids, entries.scanned_to))


async def _without_answers(
    state: ApiState, entries: EntryPage, answered: frozenset[int]
) -> EntryPage:
    """The entries without answers to other accounts than these. Retweets stay."""
    pieces = await state.statuses.pieces([entry.post for entry in entries])
    parents = {one.reply_to for one in pieces.values() if one.reply_to is not None}
    authors = {post: one.author for post, one in (await state.statuses.pieces(parents)).items()}
    return EntryPage(
        entry
        for entry in entries
        if entry.post in pieces
        and (
            entry.retweeter is not None
            or (parent := pieces[entry.post].reply_to) is None
            or authors.get(parent, 0) in answered
        )
    )
