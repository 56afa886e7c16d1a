"""`/v1/clicks`: the click-stream, and who doesn't want to be in it."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from api.clicks.click_intake import MOST_RECORDS, ClickRecord, decode_batch
from api.http.errors import RequestRefused, problems
from api.http.request import json_response
from api.http.route import ApiRoute
from api.http.tokens import Actor, Reader, Viewer, require_account
from api.schemas import ApiModel, Count
from api.state import ApiState, CurrentState

router = APIRouter(route_class=ApiRoute, prefix="/v1", tags=["clicks"])

_RECORD_SCHEMA: Final = msgspec.json.schema_components([ClickRecord])[1]["ClickRecord"]
_EXAMPLE: Final = {
    "clicks": [
        {"session": "f3a9c2", "kind": "view", "post": "1790012345678901248"},
        {"session": "f3a9c2", "kind": "dwell", "page": "/trends", "dwell": 4200},
    ]
}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "example": _EXAMPLE,
                "schema": {
                    "type": "object",
                    "required": ["clicks"],
                    "additionalProperties": False,
                    "properties": {
                        "clicks": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": MOST_RECORDS,
                            "items": _RECORD_SCHEMA,
                        }
                    },
                },
            }
        },
    }
}


class AcceptedClicks(ApiModel):
    """How many records of a batch were stored."""

    accepted: Count


class ClickTracking(ApiModel):
    """Whether clicks of the signed-in user are stored."""

    click_tracking: bool


async def _asks_for_no_tracking(request: Request) -> bool:
    return "1" in (request.headers.get("dnt"), request.headers.get("sec-gpc"))


async def store_clicks(
    records: Sequence[ClickRecord], viewer: int, untracked: bool, state: ApiState
) -> Response:
    """The response to a batch, stored unless its sender doesn't want that."""
    if untracked or (viewer and await state.ports.accounts.opted_out_of_clicks(viewer)):
        count = 0
    else:
        count = await state.ports.clicks.take(records, viewer or None)
    return json_response(b'{"accepted":%d}' % count)


@router.post(
    "/clicks",
    response_model=AcceptedClicks,
    responses=problems(400, 401, 413, 422, 429, 503),
    openapi_extra=_BODY,
)
async def record_clicks(
    request: Request,
    viewer: Viewer,
    state: CurrentState,
    untracked: Annotated[bool, Depends(_asks_for_no_tracking)],
) -> Response:
    """Record what readers saw, opened and stayed at; durable when answered.

    Nothing is stored of requests with `DNT: 1` or `Sec-GPC: 1` and of users who opted out.
    """
    try:
        records = decode_batch(await request.body())
    except msgspec.DecodeError as error:
        raise RequestRefused(400, "malformed-json", f"the body is no JSON: {error}") from error
    return await store_clicks(records, viewer, untracked, state)


@router.get("/users/me/click-tracking", responses=problems(401, 403, 503))
async def show_click_tracking(reader: Reader, state: CurrentState) -> ClickTracking:
    """Whether one's own clicks are recorded."""
    await require_account(state, reader)
    opted_out = await state.ports.accounts.opted_out_of_clicks(reader)
    return ClickTracking(click_tracking=not opted_out)


@router.put("/users/me/click-tracking", responses=problems(401, 403, 503))
async def allow_click_tracking(actor: Actor, state: CurrentState) -> ClickTracking:
    """Have one's own clicks recorded again."""
    await require_account(state, actor)
    await state.ports.accounts.opt_out_of_clicks(actor, False)
    return ClickTracking(click_tracking=True)


@router.delete("/users/me/click-tracking", responses=problems(401, 403, 503))
async def refuse_click_tracking(actor: Actor, state: CurrentState) -> ClickTracking:
    """Opt out: clicks that are sent with one's token are not stored from now on."""
    await require_account(state, actor)
    await state.ports.accounts.opt_out_of_clicks(actor, True)
    return ClickTracking(click_tracking=False)
