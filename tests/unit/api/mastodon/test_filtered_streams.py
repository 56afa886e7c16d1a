"""What streams say of a reader's filters."""

import json
from typing import Any

import pytest

from api.mastodon import status_entities
from api.mastodon.filter_entities import filter_results
from tests.support.mastodon_schemas import check_entity
from tests.unit.api.mastodon.test_streaming import Users, listening, talking, three_users

__all__ = ["three_users"]  # a fixture


async def test_streams_say_which_filters_a_status_meets_to_who_has_them(
    three_users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, ada, bob, cyn = three_users
    compared: list[int] = []

    def counted(filters: Any, post: int, texts: Any) -> bytes:
        compared.append(post)
        return filter_results(filters, post, texts)

    monkeypatch.setattr(status_entities, "filter_results", counted)
    given = {"title": "Pets", "context": ["home"], "keywords_attributes": [{"keyword": "cats"}]}
    async with (
        talking(world, ada, query_string=b"stream=user") as socket,
        listening(world, cyn, "public") as public,
    ):
        assert (await ada.http.post("/api/v2/filters", json=given)).status_code == 200
        assert await socket.next_frame() == {"stream": ["user"], "event": "filters_changed"}
        unmet = await bob.create_post("dogs")
        met = await bob.create_post("Cats!")
        plain, marked = [json.loads((await socket.next_frame())["payload"]) for _ in range(2)]
        assert "filtered" not in plain
        check_entity("Status", marked)
        assert [one["keyword_matches"] for one in marked["filtered"]] == [["Cats"]]
        for _ in range(2):
            assert "filtered" not in (await public.next_event())[1]
        assert compared == [int(unmet), int(met)]
        await bob.send_command("DELETE", f"/v1/posts/{met}")
        assert json.loads((await socket.next_frame())["payload"]) == int(met)
