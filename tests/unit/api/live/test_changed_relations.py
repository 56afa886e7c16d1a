"""What connected readers are told while they follow and mute others."""

import asyncio

import pytest

from tests.support.api_world import register_user
from tests.unit.api.live.test_hub import connected, two_users


async def test_a_reader_who_unfollows_or_mutes_hears_nothing_more() -> None:
    world, ada, bob = await two_users()
    cyn = await register_user(world, "cyn")
    async with connected(world, ada) as reader:
        await ada.send_command("PUT", "/v1/users/@cyn/follow")
        heard = await cyn.create_post("heard")
        await reader.listen_until("post", heard)
        await ada.send_command("DELETE", "/v1/users/@bob/follow")
        await ada.send_command("PUT", "/v1/users/@cyn/mute")
        await bob.create_post("unheard")
        await cyn.create_post("unheard @ada")
        own = await ada.create_post("own")
        assert (await reader.next_message())[2]["id"] == own


async def test_a_reader_hears_muted_users_again_when_the_mute_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.live.hub.CHECK_SECONDS", 0.01)
    world, ada, bob = await two_users()
    async with connected(world, ada) as reader:
        await ada.send_command("PUT", "/v1/users/@bob/mute", {"seconds": 60})
        await bob.create_post("unheard")
        own = await ada.create_post("own")
        assert (await reader.next_message())[2]["id"] == own
        world.clock.sleep(60)
        await asyncio.sleep(0.1)
        heard = await bob.create_post("heard")
        assert (await reader.next_message())[2]["id"] == heard
