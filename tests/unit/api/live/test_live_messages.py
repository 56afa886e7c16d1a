"""What it costs to find what an event tells."""

from typing import Any

import pytest

from api.live import live_messages
from api.live.live_reader import LAST_ORDINAL, MessageId
from tests.unit.api.live.test_hub import connected, two_users


async def test_only_a_reader_who_comes_back_is_asked_what_it_dismissed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, ada, bob = await two_users()
    asked: list[int] = []

    async def leave_out_dismissed(store: Any, user: int, found: Any) -> Any:
        asked.append(user)
        return found

    monkeypatch.setattr(live_messages, "leave_out_dismissed", leave_out_dismissed)
    async with connected(world, ada) as reader:
        await bob.send_command("PUT", "/v1/users/@ada/follow")
        assert (await reader.next_message())[0] == "notification"
    assert asked == []
    async with connected(world, ada, MessageId(0, LAST_ORDINAL)) as reader:
        while (await reader.next_message())[0] != "notification":
            pass
    assert asked == [int(ada.id)]
