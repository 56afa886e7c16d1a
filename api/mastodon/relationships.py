"""Relationships to other accounts, and what changes them."""

from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, Any, Final, TypedDict

from fastapi import APIRouter
from pydantic import Field

from api.http.request import Commander, Commands
from api.http.tokens import Reader
from api.mastodon.account_entities import AccountEntity
from api.mastodon.client_request import AccountSubject, run_seen
from api.mastodon.entities import EntityResponse, Id, Time, about, entity
from api.mastodon.parameters import ClientParameters, Flag, Number, Text, Texts, example, reads
from api.state import ApiState, CurrentState
from commands.block import Block, Mute, Unblock, Unmute
from commands.decider import Command
from commands.follow import Follow, RemoveFollower, Unfollow
from commands.private_note import WriteNote
from events.ids.snowflake import parse_decimal
from events.times import optional_rfc3339
from projections import followers, personal_records
from projections.home.viewer import UserRelations, read_relations

_MOST_AT_ONCE: Final = 80
_MOST_FAMILIAR: Final = 20
"""Accounts whose followers are compared with whom one follows, in one request."""
_SHOWN_FAMILIAR: Final = 40

_ACTIONS: Final[dict[str, Callable[[int], Command]]] = {
    "follow": Follow,
    "unfollow": Unfollow,
    "remove_from_followers": RemoveFollower,
    "block": Block,
    "unblock": Unblock,
    "unmute": Unmute,
}

router = APIRouter(prefix="/api/v1/accounts", tags=["mastodon"])


class RelationshipEntity(TypedDict):
    """What holds between oneself and another account."""

    id: Annotated[Id, about("Of the other account")]
    following: bool
    followed_by: bool
    blocking: bool
    blocked_by: bool
    muting: bool
    muting_notifications: bool
    muting_expires_at: Annotated[Time | None, about("Null where there is no end, or no mute")]
    showing_reblogs: Annotated[bool, about("The same as `following`")]
    notifying: Annotated[bool, about("Always false: posts of others are no notifications")]
    languages: Annotated[None, about("All are shown")]
    requested: Annotated[bool, about("Always false: a follow needs no leave")]
    requested_by: Annotated[bool, about("Always false")]
    domain_blocking: Annotated[bool, about("Always false: there is no other server")]
    endorsed: Annotated[bool, about("Always false")]
    note: Annotated[str, about("What one noted about the account, for oneself")]


class FamiliarFollowersEntity(TypedDict):
    """Those of an account's followers whom one follows."""

    id: Annotated[Id, about("Of the account")]
    accounts: list[AccountEntity]


class MuteParameters(ClientParameters):
    """How long an account is muted (in seconds; 0 for good), and whether of notifications, too."""

    model_config = example(duration=3600, notifications=False)

    duration: Annotated[
        Number, Field(description="After how many seconds it ends; 0 for never")
    ] = None
    notifications: Annotated[
        Flag, Field(description="Whether notifications are muted, too: so unless false")
    ] = None


class NoteParameters(ClientParameters):
    """What one notes about an account; empty, nothing any more."""

    model_config = example(comment="Met at the conference")

    comment: Annotated[Text, Field(description="The note as plain text")] = ""


class AccountIds(ClientParameters):
    """The accounts that are asked for."""

    model_config = example(id=["7412308000010240"])

    id: Annotated[
        Texts, Field(description="Ids of accounts; those that there are not are left out")
    ] = Field(default_factory=list)

    @property
    def users(self) -> list[int]:
        """Their ids, each once, in the order given; what is no id is left out."""
        parsed = map(parse_decimal, self.id[:_MOST_AT_ONCE])
        return list(dict.fromkeys(user for user in parsed if user))


async def render_relationships(
    state: ApiState, viewer: int, users: Collection[int]
) -> list[RelationshipEntity]:
    """The entities `Relationship`, in the order given."""
    store = state.ports.views.current_store("timeline")
    relations = await read_relations(store, viewer, users, state.ports.clock_ms())
    lists = state.ports.views.current_store("personal_records")
    notes = await personal_records.read_notes(lists, viewer, users)
    open_text = state.ports.open_text
    return [_relationship(user, relations[user], open_text(notes.get(user, ""))) for user in users]


def _relationship(user: int, relations: UserRelations, note: str) -> RelationshipEntity:
    return {
        "id": str(user),
        "following": relations.following,
        "followed_by": relations.followed_by,
        "blocking": relations.blocking,
        "blocked_by": relations.blocked_by,
        "muting": relations.muting,
        "muting_notifications": relations.muting_notifications,
        "muting_expires_at": optional_rfc3339(relations.mute_ends_ms),
        "showing_reblogs": relations.following,
        "notifying": False,
        "languages": None,
        "requested": False,
        "requested_by": False,
        "domain_blocking": False,
        "endorsed": False,
        "note": note,
    }


@router.get("/relationships")
async def relationships(
    reader: Reader, state: CurrentState, wanted: Annotated[AccountIds, reads(AccountIds)]
) -> EntityResponse[list[RelationshipEntity]]:
    """What holds between oneself and some accounts."""
    there = await state.statuses.accounts.handles(wanted.users)
    asked = [user for user in wanted.users if user in there]
    return entity(await render_relationships(state, reader, asked))


@router.get("/familiar_followers")
async def familiar_followers(
    reader: Reader, state: CurrentState, wanted: Annotated[AccountIds, reads(AccountIds)]
) -> EntityResponse[list[FamiliarFollowersEntity]]:
    """Of some accounts' followers those whom one follows: entities `FamiliarFollowers`."""
    following = (await state.ports.home.viewer_context(reader)).following
    asked = wanted.users[:_MOST_FAMILIAR]
    there = await state.statuses.accounts.handles(asked)
    store = state.ports.views.current_store("followers")
    found = []
    for user in (one for one in asked if one in there):
        known = await followers.followers_among(store, user, following)
        accounts = await state.statuses.accounts.render_list(known[:_SHOWN_FAMILIAR])
        found.append(b'{"id":"%d","accounts":%s}' % (user, accounts))
    return entity(b"[" + b",".join(found) + b"]")


@router.post("/{id}/mute")
async def mute_account(
    commands: Commands,
    user: AccountSubject,
    state: CurrentState,
    terms: Annotated[MuteParameters, reads(MuteParameters)],
) -> EntityResponse[RelationshipEntity]:
    """Mute, for good or a while: the entity `Relationship` as it is then."""
    notifications = False if terms.notifications is False else None
    command = Mute(user, seconds=terms.duration or None, notifications=notifications)
    return await _change(state, commands, command, user)


@router.post("/{id}/note")
async def write_note(
    commands: Commands,
    user: AccountSubject,
    state: CurrentState,
    given: Annotated[NoteParameters, reads(NoteParameters)],
) -> EntityResponse[RelationshipEntity]:
    """Note something about an account, for oneself: the entity `Relationship` as it is then."""
    return await _change(state, commands, WriteNote(user, given.comment), user)


async def _change(
    state: ApiState, commands: Commander, command: Command, user: int
) -> EntityResponse[RelationshipEntity]:
    await run_seen(state, commands, command)
    [found] = await render_relationships(state, commands.actor, (user,))
    return entity(found)


def _endpoint(create_command: Callable[[int], Command]) -> Callable[..., Awaitable[Any]]:
    async def endpoint(
        commands: Commands, user: AccountSubject, state: CurrentState
    ) -> EntityResponse[RelationshipEntity]:
        return await _change(state, commands, create_command(user), user)

    return endpoint


for _action, _command in _ACTIONS.items():
    router.add_api_route(
        f"/{{id}}/{_action}", _endpoint(_command), methods=["POST"], name=f"{_action}_account"
    )
