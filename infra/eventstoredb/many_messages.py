"""Many messages of a gRPC call at a time.

grpclib takes some 30 microseconds to send or to receive a message: as long as all else that an
append or a read of an event costs. These two functions do its framing themselves, on the call's own
stream; that is why pyproject.toml allows no grpclib that isn't known.
"""

from collections.abc import Iterable
from typing import Final

from grpclib.client import Stream

from infra.eventstoredb.wire import BatchAppendRequest, ReadRequest

FRAME_BYTES: Final = 5
"""Before each message: whether it is compressed, and its length."""

ReadCall = Stream[ReadRequest, bytes]
BatchAppendCall = Stream[BatchAppendRequest, bytes]


async def send_requests(call: BatchAppendCall, requests: Iterable[BatchAppendRequest]) -> None:
    """Send several messages as one piece."""
    framed = b"".join(
        part for request in requests for part in (b"\0", len(request).to_bytes(4, "big"), request)
    )
    with call._wrapper:  # type: ignore[attr-defined]
        await call._stream.send_data(framed)


async def receive_replies(call: ReadCall) -> list[bytes]:
    """All messages until the end of a call."""
    await call.recv_initial_metadata()
    replies: list[bytes] = []
    buffer = call._stream.buffer
    come = b""
    with call._wrapper:  # type: ignore[attr-defined]
        while not (buffer._eof and buffer._unacked.empty()):
            pieces, size = [come], 0
            piece = await buffer._unacked.get()
            while True:
                pieces.append(piece.data)
                size += piece.ack_size
                if buffer._unacked.empty():
                    break
                piece = buffer._unacked.get_nowait()
            buffer._ack_callback(size)
            come = _split_messages(b"".join(pieces), replies)
    return replies


def _split_messages(come: bytes, messages: list[bytes]) -> bytes:
    """Add the whole messages at the beginning of what has come; return the rest."""
    at = 0
    while len(come) >= at + FRAME_BYTES:
        end = at + FRAME_BYTES + int.from_bytes(come[at + 1 : at + FRAME_BYTES], "big")
        if end > len(come):
            break
        messages.append(come[at + FRAME_BYTES : end])
        at = end
    return come[at:]
