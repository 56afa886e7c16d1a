"""`POST /v1/users/me/export`: a user's own data as one archive."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api.accounts.access_tokens import USER_SCOPE
from api.http.errors import RETRY_AFTER, RequestRefused, problems
from api.http.route import ApiRoute
from api.http.streaming_response import StreamedResponse
from api.http.tokens import CurrentToken, require_account, token_check
from api.http.zip_stream import ZIP, zip_chunks
from api.ports import VIEW_WAIT_SECONDS
from api.state import ApiState, CurrentState
from api.v1.sessions import list_sessions
from api.v1.webhooks import shown_webhooks
from api.views.user_archive import ARCHIVED_VIEWS, UserArchive
from api.webhooks.app_grants import standing_webhooks
from events.log import run_read

router = APIRouter(route_class=ApiRoute, prefix="/v1/users/me/export", tags=["accounts"])

_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    # The second for generators of clients, which know no archives.
    200: {"content": {ZIP: _BYTES, "application/octet-stream": _BYTES}, "description": "A ZIP"},
    **problems(401, 403, 429, 503),
}


@router.post("", response_class=Response, responses=_RESPONSES)
async def export_user(request: Request, token: CurrentToken, state: CurrentState) -> Response:
    """All that is kept of oneself: JSON and images in a ZIP archive, with a text that says what is
    what. It has all that was written before the request; one that was cut off can't be opened.
    """
    await _wait_for_views(state)
    await require_account(state, token.user)
    account = await _account(state, token.user)
    sessions = await list_sessions(token, state)
    own = await state.ports.webhooks.store.webhooks_of(token.user)
    webhooks = await shown_webhooks(state, await standing_webhooks(state.ports, own))
    documents = {
        "account": account,
        "sessions": [one.model_dump(exclude_none=True) for one in sessions],
        "webhooks": [one.model_dump(exclude_none=True) for one in webhooks],
    }
    holds = token_check(state, request.headers["authorization"], USER_SCOPE, request.url.path)
    files = UserArchive(state, token.user, holds).files(account["handle"], documents)
    name = f"starling-{account['handle']}.zip"
    return StreamedResponse(
        zip_chunks(files, state.ports.clock_ms()),
        state.open_streams,
        ZIP,
        {"content-disposition": f'attachment; filename="{name}"'},
    )


async def _wait_for_views(state: ApiState) -> None:
    """The log's end includes the user's own last write, whichever process acknowledged it."""
    head = await run_read(state.ports.log, state.ports.log.head)
    if not await state.ports.wait_for(ARCHIVED_VIEWS, head, VIEW_WAIT_SECONDS):
        message = "the views don't have all that was written yet: ask again"
        raise RequestRefused(503, "views-behind", message, RETRY_AFTER)
    state.post_views.apply_invalidations()


async def _account(state: ApiState, user: int) -> dict[str, Any]:
    """The document `account.json`. Raises `AccountUnknown`, `AccountsUnavailable`."""
    shown = (await state.user_views.get_own_user(user)).model_dump(exclude_none=True)
    record = await state.ports.accounts.get(user)
    if record is not None and record.email is not None:
        shown |= {"email": record.email, "email_verified": record.email_verified}
    opted_out = await state.ports.accounts.opted_out_of_clicks(user)
    return shown | {"click_tracking": not opted_out}
