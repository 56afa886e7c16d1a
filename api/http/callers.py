"""The client of a request, where a password has to be hashed for it."""

from typing import Annotated

from fastapi import Depends, Request

from api.accounts.hashing_queue import HashCaller
from api.http.network_address import counted_address


async def _network_address(request: Request) -> str:
    return counted_address(request.client.host) if request.client else ""


NetworkAddress = Annotated[str, Depends(_network_address)]
"""The network address that the request came from, as limits count it; empty where unknown."""


async def _hash_caller(request: Request, address: NetworkAddress) -> HashCaller:
    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return HashCaller(address, disconnected=disconnected)


Caller = Annotated[HashCaller, Depends(_hash_caller)]
"""The client, which may leave before its turn."""
