"""Notes about accounts that their writer alone sees."""

from typing import Any

from tests.e2e.test_user_archive import export, lines
from tests.support.api_world import ApiWorld, SignedInUser, register_user
from tests.support.mastodon_schemas import check_entity


async def note(user: SignedInUser, about: SignedInUser, text: str) -> Any:
    answer = await user.http.post(f"/api/v1/accounts/{about.id}/note", data={"comment": text})
    assert answer.status_code == 200, answer.text
    check_entity("Relationship", answer.json())
    return answer.json()["note"]


async def noted(user: SignedInUser, about: SignedInUser) -> Any:
    [found] = await user.get_json("/api/v1/accounts/relationships", id=about.id)
    return found["note"]


async def test_a_note_is_seen_by_its_writer_alone_and_sealed_in_the_log(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    text = "met at the quay\nowes me a pen"
    assert await note(ada, bob, " met at the quay\r\nowes me a pen ") == text
    assert await noted(ada, bob) == text
    assert await noted(bob, ada) == ""
    assert b"quay" not in b"".join(stored.data for stored in world.log.read_all())
    head = world.log.head()
    assert await note(ada, bob, text) == text
    assert world.log.head() == head
    assert await note(ada, bob, "") == ""
    assert await noted(ada, bob) == ""


async def test_notes_of_both_apis_are_the_same_listed_and_shown_beside_the_account(
    world: ApiWorld,
) -> None:
    ada, bob, cy = [await register_user(world, name) for name in ("ada", "bob", "cy")]
    written = {"text": " met at the quay\r\nowes me a pen "}
    done = await ada.send_command("PUT", "/v1/users/@bob/note", written)
    assert done == {"id": bob.id, "noted": True}
    assert await noted(ada, bob) == "met at the quay\nowes me a pen"
    await note(ada, cy, "a neighbour")
    listed = await ada.get_json("/v1/users/me/notes")
    assert [(one["user"]["handle"], one["text"]) for one in listed] == [
        ("cy", "a neighbour"), ("bob", "met at the quay\nowes me a pen"),
    ]  # fmt: skip
    page = await ada.http.get("/v1/users/me/notes", params={"limit": 1})
    older = await ada.http.get(page.links["next"]["url"])
    assert [one["user"]["handle"] for one in older.json()] == ["bob"]
    assert (await ada.get_json("/v1/users/@cy"))["note"] == "a neighbour"
    assert "note" not in await bob.get_json("/v1/users/@cy")
    assert await bob.get_json("/v1/users/me/notes") == []
    done = await ada.send_command("DELETE", f"/v1/users/{cy.id}/note")
    assert done == {"id": cy.id, "noted": False}
    assert "note" not in await ada.get_json("/v1/users/@cy")
    for body, code in (({"text": "x" * 2001}, "note-too-long"), ({"note": "x"}, "invalid-body")):
        refused = await ada.http.put("/v1/users/@bob/note", json=body)
        assert (refused.status_code, refused.json()["type"]) == (422, f"/problems/{code}")
    missing = await ada.http.put("/v1/users/@eve/note", json={"text": "x"})
    assert missing.status_code == 404


async def test_a_note_that_can_not_be_is_refused(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    path = f"/api/v1/accounts/{bob.id}/note"
    for wrong in ("x" * 2001, "a\x00b"):
        refused = await ada.http.post(path, json={"comment": wrong})
        assert (refused.status_code, list(refused.json())) == (422, ["error"])
    assert (await ada.http.post("/api/v1/accounts/7/note")).status_code == 404


async def test_notes_are_in_ones_archive(world: ApiWorld) -> None:
    ada, bob, cy = [await register_user(world, name) for name in ("ada", "bob", "cy")]
    await note(ada, bob, "a friend")
    await note(ada, cy, "a neighbour")
    await note(bob, ada, "hidden from her")
    archive = await export(ada)
    found = [(one["handle"], one["note"]) for one in lines(archive, "notes")]
    assert found == [("cy", "a neighbour"), ("bob", "a friend")]
