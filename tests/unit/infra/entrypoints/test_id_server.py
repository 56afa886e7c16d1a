"""What an id server answers, and a block server below it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from events.ids.id_blocks import IDS_PER_BLOCK
from infra.entrypoints.id_server import LONGEST_MS, StockedBlocks, build_id_app, serve_ids
from infra.ids.block_stock import BlockStock
from infra.process.clock import clock_ms
from infra.settings import InvalidSetting, Settings
from tests.support.fake_blocks import FakeBlocks
from tests.support.manual_clock import ManualClock


@pytest.fixture
def blocks() -> FakeBlocks:
    return FakeBlocks()


@pytest.fixture
async def client(blocks: FakeBlocks) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_id_app(blocks, "a long password"))
    headers = {"Authorization": "Bearer a long password"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://ids", headers=headers
    ) as opened:
        yield opened


def request(count: int = 1, **changed: Any) -> dict[str, Any]:
    now = clock_ms()
    asked = {"count": count, "owner": "me", "now_ms": now, "until_ms": now + 1000}
    return {**asked, **changed}


async def test_blocks_are_given_to_those_with_the_password(client: httpx.AsyncClient) -> None:
    answer = await client.post("/blocks", json=request(2))
    assert answer.status_code == 200
    assert [block["number"] for block in answer.json()["blocks"]] == [1, 2]
    for headers in ({"Authorization": "Bearer another"}, {"Authorization": ""}):
        refused = await client.post("/blocks", json=request(), headers=headers)
        assert refused.status_code == 401
        assert "a long password" not in refused.text


@pytest.mark.parametrize(
    "body",
    [{}, request(count=65), request(count=-1), request(owner=7), request(now_ms="x"), []],
)
async def test_what_is_no_request_for_blocks_is_refused(
    client: httpx.AsyncClient, blocks: FakeBlocks, body: Any
) -> None:
    assert (await client.post("/blocks", json=body)).status_code == 400
    assert blocks.asked == []


async def test_a_client_whose_clock_is_elsewhere_gets_no_blocks(
    client: httpx.AsyncClient, blocks: FakeBlocks
) -> None:
    for apart in (-61_000, 61_000):
        answer = await client.post("/blocks", json=request(now_ms=clock_ms() + apart))
        assert (answer.status_code, "a minute apart" in answer.text) == (503, True)
    assert blocks.asked == []


async def test_no_block_is_given_for_longer_than_an_hour(
    client: httpx.AsyncClient, blocks: FakeBlocks
) -> None:
    asked = request(until_ms=clock_ms() * 2)
    await client.post("/blocks", json=asked)
    [held] = blocks.ledger.holdings.values()
    assert held.until_ms == asked["now_ms"] + LONGEST_MS


async def test_a_server_without_blocks_says_why(
    client: httpx.AsyncClient, blocks: FakeBlocks
) -> None:
    blocks.is_down = True
    answer = await client.post("/blocks", json=request())
    assert (answer.status_code, answer.text) == (503, "it is down")


def test_an_id_server_that_others_reach_needs_a_password() -> None:
    with pytest.raises(InvalidSetting, match="STARLING_ID_SERVER_PASSWORD_FILE"):
        serve_ids(Settings(), "0.0.0.0", 0)


def test_a_block_server_hands_on_what_it_took_ahead_and_gives_back_what_is_left(
    blocks: FakeBlocks,
) -> None:
    clock = ManualClock(1_700_000_000_000)
    stock = BlockStock(blocks, "block server", clock, clock.monotonic)
    stock.open()
    handing_on = StockedBlocks(stock)
    now = clock()
    taken = [handing_on.take_blocks(1, "me", now, now + 1000)[0].number for _ in range(3)]
    assert taken == [1, 2, 3]
    stock.close()
    unused = blocks.ledger.blocks_given - 3
    assert blocks.ledger.numbers_wasted == unused * IDS_PER_BLOCK
