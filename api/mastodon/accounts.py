"""Accounts: oneself, others, their statuses and followers."""

from typing import Annotated, Any, Final

from fastapi import APIRouter
from msgspec.structs import replace
from pydantic import Field

from api.http.errors import RequestRefused
from api.http.request import Commands, blocked_users, hidden_users
from api.http.tokens import Reader, Viewer
from api.http.uploads import checked_upload
from api.mastodon.account_entities import (
    AccountEntity,
    CredentialAccountEntity,
    credential_account,
)
from api.mastodon.client_pages import AccountsPage, StatusesPage
from api.mastodon.client_request import AccountId, render_account, run_seen
from api.mastodon.entities import EntityResponse, entity
from api.mastodon.instance import domain_of
from api.mastodon.parameters import ClientParameters, Flag, Text, Upload, example, objects, reads
from api.mastodon.personal_lists import listed_statuses
from api.mastodon.relationships import AccountIds
from api.mastodon.status_entities import StatusEntity
from api.mastodon.status_marks import accounts_page
from api.mastodon.timelines import TimelineFilter, entries_page
from api.state import ApiState, CurrentState
from commands.rules import user_not_found
from commands.user import ChangeProfile, checked_profile_change
from projections import followers, timeline_pages
from projections.personal_records import list_pins
from projections.profiles import ProfileRow, find_by_handle
from projections.timeline import EntryPage

router = APIRouter(prefix="/api/v1", tags=["mastodon"])


class ProfileChange(ClientParameters):
    """What a client changes of a profile."""

    model_config = example(
        display_name="Ada",
        note="I count.",
        fields_attributes=[{"name": "Site", "value": "https://ada.example"}],
    )

    display_name: Annotated[str | None, Field(description="A name; empty, there is none")] = None
    note: Annotated[
        str | None, Field(description="What the account says of itself, as plain text")
    ] = None
    avatar: Annotated[
        Upload, Field(description="The bytes of an image; a form in parts alone has them")
    ] = None
    header: Annotated[Upload, Field(description="An image, as `avatar`")] = None
    locked: Annotated[Flag, Field(description="True is refused")] = None
    bot: Annotated[Flag, Field(description="Whether a program writes here")] = None
    discoverable: Annotated[Flag, Field(description="False is refused")] = None
    indexable: Annotated[Flag, Field(description="False is refused")] = None
    hide_collections: Annotated[Flag, Field(description="True is refused")] = None
    fields_attributes: Annotated[
        Any,
        objects("name", "value", listed=True),
        Field(
            description="All fields, four at most; in a form also with numbers, as "
            "`fields_attributes[0][name]`"
        ),
    ] = None
    source: Annotated[
        Any,
        objects("privacy", "sensitive", "language"),
        Field(
            description="Defaults of new statuses, which are the same for all: other ones are "
            "refused"
        ),
    ] = None

    def refuse_unsupported(self) -> None:
        """Raises `RequestRefused` (422) for what an account can't have, or can't change here."""
        source = self.source if isinstance(self.source, dict) else {}
        wanted = {
            "locked": self.locked,
            "discoverable": self.discoverable is False,
            "indexable": self.indexable is False,
            "hide_collections": self.hide_collections,
            "source[sensitive]": _has_text(source.get("sensitive")) in _YES,
            "source[language]": source.get("language"),
            "source[privacy]": source.get("privacy") not in (None, "", "public"),
        }
        for name, value in wanted.items():
            if value:
                message = f"Validation failed: `{name}` can't be changed on this server"
                raise RequestRefused(422, "invalid-body", message)

    @property
    def fields(self) -> tuple[tuple[str, str], ...] | None:
        """The pairs of names and values; None where there are none to change. Raises
        `RequestRefused` (422)."""
        given = self.fields_attributes
        if given is None:
            return None
        listed = list(given.values()) if isinstance(given, dict) else given or []
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            message = "Validation failed: `fields_attributes` has objects with `name` and `value`"
            raise RequestRefused(422, "invalid-body", message)
        return tuple((str(one.get("name") or ""), str(one.get("value") or "")) for one in listed)


_YES: Final = ("true", "1", "on", "t")


def _has_text(given: Any) -> str:
    """The texts in a tree of parameters, joined."""
    if isinstance(given, dict):
        given = list(given.values())
    if isinstance(given, list):
        return "".join(map(_has_text, given))
    return "" if given is None else str(given).lower()


class AccountAddress(ClientParameters):
    """The account that is looked up."""

    model_config = example(acct="ada")

    acct: Annotated[Text, Field(description="`bob`, `@bob` or `bob@our.domain`")] = ""


async def find_account(state: ApiState, acct: str) -> ProfileRow:
    """The account that `bob`, `@bob` or `bob@our.domain` means. Raises `NotFound`."""
    handle, _, domain = acct.strip().removeprefix("@").lower().partition("@")
    row = None
    if handle and domain in ("", domain_of(state.ports.base_url).lower()):
        row = await find_by_handle(state.ports.views.current_store("profiles"), handle)
    if row is None:
        raise user_not_found(0)
    return row


class StatusesOfAccount(TimelineFilter):
    """Which of an account's statuses are wanted."""

    pinned: Annotated[
        Flag, Field(description="Those alone that the account pinned, the newest pin first")
    ] = None


@router.get("/accounts/verify_credentials")
async def verify_credentials(
    reader: Reader, state: CurrentState
) -> EntityResponse[CredentialAccountEntity]:
    """Oneself: the entity `CredentialAccount`."""
    return await _own_account(state, reader)


@router.patch("/accounts/update_credentials")
async def update_credentials(
    commands: Commands, state: CurrentState, change: Annotated[ProfileChange, reads(ProfileChange)]
) -> EntityResponse[CredentialAccountEntity]:
    """Change oneself; what is absent stays as it was."""
    change.refuse_unsupported()
    texts = ChangeProfile(change.display_name, change.note, fields=change.fields, bot=change.bot)
    checked_profile_change(texts)  # before an upload
    pictures = [
        await _upload_picture(state, commands.actor, part, file)
        for part, file in (("avatar", change.avatar), ("header", change.header))
    ]
    avatar, header = pictures
    command = replace(texts, avatar=avatar, header=header)
    await run_seen(state, commands, command, [id for id in pictures if id])
    return await _own_account(state, commands.actor)


async def _upload_picture(state: ApiState, user: int, part: str, file: object) -> str | None:
    """The id of an image that was sent; None where there is none."""
    if file is None or file in ("", b""):
        return None
    content = checked_upload(part, file, state.ports.media.max_bytes)
    return (await state.media.upload(user, content, "")).id


@router.delete("/profile/avatar")
async def delete_avatar(
    commands: Commands, state: CurrentState
) -> EntityResponse[CredentialAccountEntity]:
    """Take one's avatar away."""
    await run_seen(state, commands, ChangeProfile(avatar=""))
    return await _own_account(state, commands.actor)


@router.delete("/profile/header")
async def delete_header(
    commands: Commands, state: CurrentState
) -> EntityResponse[CredentialAccountEntity]:
    """Take one's header away."""
    await run_seen(state, commands, ChangeProfile(header=""))
    return await _own_account(state, commands.actor)


async def _own_account(state: ApiState, user: int) -> EntityResponse[CredentialAccountEntity]:
    account = await render_account(state, user)
    return entity(credential_account(account, *await state.statuses.accounts.own_texts(user)))


@router.get("/accounts/lookup", responses={404: {}})
async def lookup(
    state: CurrentState, wanted: Annotated[AccountAddress, reads(AccountAddress)]
) -> EntityResponse[AccountEntity]:
    """The account of a handle."""
    row = await find_account(state, wanted.acct)
    return entity(await render_account(state, row.user))


@router.get("/accounts")
async def list_accounts(
    state: CurrentState, wanted: Annotated[AccountIds, reads(AccountIds)]
) -> EntityResponse[list[AccountEntity]]:
    """Those of some accounts that there are."""
    return entity(await state.statuses.accounts.render_list(wanted.users))


@router.get("/accounts/{id}")
async def get_account(user: AccountId, state: CurrentState) -> EntityResponse[AccountEntity]:
    """An account."""
    return entity(await render_account(state, user))


@router.get("/accounts/{id}/statuses")
async def account_statuses(
    viewer: Viewer,
    user: AccountId,
    page: StatusesPage,
    state: CurrentState,
    wanted: Annotated[StatusesOfAccount, reads(StatusesOfAccount)],
) -> EntityResponse[list[StatusEntity]]:
    """An account's posts and retweets; none where one of the two blocks the other."""
    if user in await blocked_users(state, viewer):
        return entity([])
    if wanted.pinned:
        lists = state.ports.views.current_store("personal_records")
        pins = await list_pins(lists, user, page.wanted)
        return await listed_statuses(state, page, pins, viewer)
    store = state.ports.views.current_store("timeline")
    hidden = await hidden_users(state, viewer)
    entries: EntryPage = await timeline_pages.read_user_timeline(store, user, page.wanted, hidden)
    return await entries_page(state, page, entries, viewer, wanted)


@router.get("/accounts/{id}/followers")
async def account_followers(
    viewer: Viewer, user: AccountId, page: AccountsPage, state: CurrentState
) -> EntityResponse[list[AccountEntity]]:
    """Who follows an account, the newest follow first."""
    if user in await blocked_users(state, viewer):
        return entity([])
    store = state.ports.views.current_store("followers")
    rows = await followers.list_followers(store, user, page.wanted)
    return await accounts_page(state, page, rows, viewer)


@router.get("/accounts/{id}/following")
async def account_following(
    viewer: Viewer, user: AccountId, page: AccountsPage, state: CurrentState
) -> EntityResponse[list[AccountEntity]]:
    """Whom an account follows, the newest follow first."""
    if user in await blocked_users(state, viewer):
        return entity([])
    store = state.ports.views.current_store("followers")
    rows = await followers.list_followed(store, user, page.wanted)
    return await accounts_page(state, page, rows, viewer)
