"""What a user notes about accounts, for their own eyes."""

from typing import Annotated, Final

from fastapi import APIRouter, Response
from pydantic import Field, TypeAdapter

from api.accounts.access_tokens import USER_SCOPE
from api.http.errors import problems
from api.http.paging import PAGE_RESPONSE, UsersPage
from api.http.request import (
    Commander,
    Commands,
    command_problems,
    fresh_views,
    json_response,
    position_header,
)
from api.http.route import ApiRoute
from api.http.tokens import Reader, requires_scope
from api.schemas import ApiModel, Done, User
from api.state import CurrentState
from api.v1.relations import UserInPath
from api.views.users import USER_VIEWS
from commands.private_note import WriteNote
from projections import personal_records

router = APIRouter(route_class=ApiRoute, prefix="/v1/users", tags=["users"])

_READING: Final = [
    requires_scope(USER_SCOPE),
    fresh_views(*USER_VIEWS, "timeline", "personal_records"),
]


class NoteText(ApiModel):
    """A note, of 2,000 characters at most; an empty one takes it away."""

    text: Annotated[str, Field(examples=["Met at the quay. Owes me a pen."])]


class ShownNote(ApiModel):
    """An account, and what one notes about it."""

    user: User
    text: str


_NOTES: Final = TypeAdapter(list[ShownNote])


@router.get(
    "/me/notes",
    response_model=list[ShownNote],
    responses=PAGE_RESPONSE | problems(403),
    dependencies=_READING,
)
async def list_notes(page: UsersPage, reader: Reader, state: CurrentState) -> Response:
    """What one notes about accounts, the newest note first."""
    store = state.ports.views.current_store("personal_records")
    rows = await personal_records.list_notes(store, reader, page.request)
    users = await state.user_views.get_users([row.subject for row in rows], reader)
    noted = {str(row.subject): state.ports.open_text(row.note) for row in rows}
    found = [ShownNote(user=user, text=noted[user.id]) for user in users]
    body = _NOTES.dump_json(found, exclude_none=True)
    return json_response(body, headers=page.link_header([row.id for row in rows]))


@router.put("/{ref}/note", response_model=Done, responses=command_problems(404))
async def write_note(commands: Commands, user: UserInPath, given: NoteText) -> Response:
    """Note something about a user, in place of what one noted before."""
    return await _write(commands, user, given.text)


@router.delete("/{ref}/note", response_model=Done, responses=command_problems(404))
async def remove_note(commands: Commands, user: UserInPath) -> Response:
    """Take a note away."""
    return await _write(commands, user, "")


async def _write(commands: Commander, user: int, text: str) -> Response:
    outcome = await commands.run(WriteNote(user, text))
    done = Done(id=str(outcome.id), noted=bool(text.strip()))
    return json_response(done, headers=position_header(outcome))
