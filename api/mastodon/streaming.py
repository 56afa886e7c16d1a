"""Live streams: server-sent events, and many streams on one WebSocket."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import PlainTextResponse

from api.accounts.access_tokens import USER_SCOPE
from api.accounts.token_store import TokenClaims
from api.http.errors import EXPECTED_ERRORS, RequestRefused, token_missing, translate_error
from api.http.query_tokens import STREAMING_PATH
from api.http.streaming_response import EVENT_STREAM, StreamedResponse
from api.http.tokens import (
    CurrentToken,
    Reader,
    read_token,
    require_account,
    requires_scope,
    sent_token,
)
from api.live.hub import LiveHub
from api.live.live_reader import LiveReader
from api.mastodon.live_streams import EventFormat, SocketFormat, allowed_topics, find_stream
from api.schemas import encode_json
from api.state import CurrentState, state_of

MAX_STREAMS: Final = 100
"""Streams of one WebSocket."""

_POLICY_VIOLATION: Final = 1008
_TRY_AGAIN: Final = 1013

_STREAM: Final[dict[str, Any]] = {
    "dependencies": [requires_scope(USER_SCOPE)],
    "response_class": Response,
    "responses": {
        200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}},
        400: {},
        404: {},
    },
}

router = APIRouter(prefix=STREAMING_PATH, tags=["mastodon"])


class StreamRequest(msgspec.Struct):
    """What a client asks on a WebSocket."""

    type: str = ""
    stream: str = ""
    tag: str = ""
    list: str | int = ""


_decode_request: Final = msgspec.json.Decoder(StreamRequest).decode


@router.get("/health", response_class=PlainTextResponse)
async def health() -> Response:
    """Whether there are streams."""
    return Response("OK", media_type="text/plain")


@router.get("/user", **_STREAM)
@router.get("/user/notification", **_STREAM)
@router.get("/public", **_STREAM)
@router.get("/public/local", **_STREAM)
@router.get("/public/remote", **_STREAM)
@router.get("/hashtag", **_STREAM)
@router.get("/hashtag/local", **_STREAM)
@router.get("/list", **_STREAM)
@router.get("/direct", **_STREAM)
async def stream_events(
    request: Request,
    reader: Reader,
    claims: CurrentToken,
    state: CurrentState,
    tag: Annotated[str, Query(description="Of a stream of a hashtag")] = "",
    list_id: Annotated[str, Query(alias="list", description="Of a stream of a list: its id")] = "",
) -> Response:
    """The stream that the address names, as server-sent events."""
    path = request.url.path
    name = path.removeprefix(f"{STREAMING_PATH}/").replace("/", ":")
    label, topics = find_stream(name, tag, list_id)
    token = sent_token(request.headers["authorization"])
    connected = await state.live.connect(reader, EventFormat(state), token)
    await state.live.subscribe(connected, label, allowed_topics(topics, claims))
    chunks = _events(state.live, connected)
    return StreamedResponse(chunks, state.open_streams, EVENT_STREAM, endless=True)


async def _events(hub: LiveHub, reader: LiveReader) -> AsyncGenerator[bytes, None]:
    yield b":)\n"
    async with aclosing(hub.tell(reader)) as told:
        async for frames in told:
            yield b"".join(frames)


@router.websocket("")
async def stream_socket(socket: WebSocket) -> None:
    """The streams that a client asks for, as it goes on; each message names its stream.

    A token that stands in the place of the subprotocol is taken, and said back.
    """
    state = state_of(socket.app)
    offered = socket.scope["subprotocols"]
    header = socket.headers.get("authorization")
    if header is None:
        if not offered:
            raise token_missing()
        header = f"Bearer {offered[0]}"
    claims = await read_token(state, header, USER_SCOPE, "GET", STREAMING_PATH)
    state.post_views.apply_invalidations()
    await require_account(state, claims.user)
    reader = await state.live.connect(claims.user, SocketFormat(state), sent_token(header))
    await socket.accept(subprotocol=offered[0] if offered else None)
    if name := socket.query_params.get("stream"):
        about = (socket.query_params.get(parameter, "") for parameter in ("tag", "list"))
        asked = StreamRequest("subscribe", name, *about)
        await _change_streams(state.live, reader, claims, asked)
    receiving = asyncio.create_task(_hear_requests(socket, state.live, reader, claims))
    try:
        await _send_frames(socket, state.live, reader)
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


async def _send_frames(socket: WebSocket, hub: LiveHub, reader: LiveReader) -> None:
    with suppress(WebSocketDisconnect):
        async with aclosing(hub.tell(reader)) as told:
            async for frames in told:
                for frame in frames:
                    await socket.send({"type": "websocket.send", "text": frame.decode()})
        if reader.problem is not None:
            problem = translate_error(reader.problem)
            code = _POLICY_VIOLATION if problem.status < 500 else _TRY_AGAIN
            await socket.close(code, problem.code)


async def _hear_requests(
    socket: WebSocket, hub: LiveHub, reader: LiveReader, claims: TokenClaims
) -> None:
    """Until the client is gone."""
    try:
        while (message := await socket.receive())["type"] == "websocket.receive":
            try:
                request = _decode_request(message.get("text") or message.get("bytes") or b"")
            except msgspec.DecodeError as error:
                _refuse(reader, RequestRefused(400, "malformed-json", f"no such message: {error}"))
            else:
                await _change_streams(hub, reader, claims, request)
    finally:
        reader.end()


async def _change_streams(
    hub: LiveHub, reader: LiveReader, claims: TokenClaims, request: StreamRequest
) -> None:
    try:
        label, topics = find_stream(request.stream, request.tag, str(request.list))
        if request.type == "subscribe":
            if len(reader.subscriptions) >= MAX_STREAMS:
                message = f"a connection has {MAX_STREAMS} streams: unsubscribe from some"
                raise RequestRefused(422, "invalid-query", message)
            await hub.subscribe(reader, label, allowed_topics(topics, claims))
        elif request.type == "unsubscribe":
            hub.unsubscribe(reader, label)
        else:
            raise RequestRefused(400, "invalid-query", "the type is subscribe or unsubscribe")
    except EXPECTED_ERRORS as refusal:
        _refuse(reader, refusal)


def _refuse(reader: LiveReader, refusal: Exception) -> None:
    response = translate_error(refusal)
    reader.put(encode_json({"error": response.detail, "status": response.status}))
