"""Removing posts and suspending accounts, over HTTP and on the command line."""

import json
from pathlib import Path

from api.accounts.access_tokens import OPERATOR_SCOPE
from tests.support.api_world import PASSWORD, ApiWorld, SignedInUser, post_texts, register_user
from tests.support.starling_program import starling


async def operator_in(world: ApiWorld) -> SignedInUser:
    made = await register_user(world, "opal")
    token = world.tokens.issue(int(made.id), (OPERATOR_SCOPE,))
    return SignedInUser(world, {"id": made.id, "handle": made.handle}, token)


async def test_a_removed_post_is_gone_and_its_author_is_told_why(world: ApiWorld) -> None:
    opal, ada = await operator_in(world), await register_user(world, "ada")
    post = await ada.create_post("buy #snow")
    await ada.send_command("PUT", f"/v1/posts/{post}/pin")
    refused = await ada.http.post(f"/v1/posts/{post}/removal", json={"reason": "no"})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/scope-missing")
    done = await opal.send_command("POST", f"/v1/posts/{post}/removal", {"reason": "Spam"})
    assert done == {"id": post, "deleted": True}
    assert await ada.get_json("/v1/timelines/public") == []
    assert await ada.get_json("/v1/hashtags/snow/posts") == []
    assert await ada.get_json("/v1/search", q="buy") == []
    assert await ada.get_json("/v1/users/@ada/pins") == []
    assert (await ada.http.get(f"/v1/posts/{post}")).status_code == 404
    [told] = await ada.get_json("/v1/users/me/moderation")
    assert (told["kind"], told["post"], told["reason"]) == ("post-removed", post, "Spam")


async def test_a_suspended_account_is_nowhere_until_the_suspension_ends(world: ApiWorld) -> None:
    opal, ada = await operator_in(world), await register_user(world, "ada")
    bob = await register_user(world, "bob")
    await bob.send_command("PUT", f"/v1/users/{ada.id}/follow")
    post = await ada.create_post("hello @bob")
    assert post_texts(await bob.get_json("/v1/timelines/home")) == ["hello @bob"]
    suspended = f"/v1/users/{ada.id}/suspension"
    assert (await opal.send_command("PUT", suspended, {"reason": "Spam"}))["suspended"] is True
    for path in ("timelines/home", "timelines/public", "notifications", "users/@bob/following"):
        assert await bob.get_json(f"/v1/{path}") == [], path
    assert await bob.get_json("/v1/search", q="hello") == []
    for path in (f"posts/{post}", "users/@ada"):
        assert (await bob.http.get(f"/v1/{path}")).status_code == 404, path
    for path in (f"accounts/{ada.id}", f"statuses/{post}", f"statuses/{post}/source"):
        assert (await bob.http.get(f"/api/v1/{path}")).status_code == 404, path
    answers = [
        await ada.http.post("/v1/posts", json={"text": "more"}),
        await ada.http.get("/v1/timelines/home"),
        await ada.http.post("/v1/sessions", json={"handle": "ada", "password": PASSWORD}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/account-suspended")
        assert answer.json()["detail"].endswith("Spam")
    wrong = await ada.http.post("/v1/sessions", json={"handle": "ada", "password": "wrong one"})
    assert wrong.json()["type"] == "/problems/credentials-wrong"
    await opal.send_command("POST", f"{suspended}/end", {"reason": "A mistake"})
    assert post_texts(await bob.get_json("/v1/timelines/home")) == ["hello @bob"]
    assert len(await bob.get_json("/v1/notifications")) == 1
    told = await ada.get_json("/v1/users/me/moderation")
    assert [one["kind"] for one in told] == ["account-unsuspended", "account-suspended"]


def test_an_operator_moderates_on_the_command_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    lines = [
        {"command": "register", "data": {"handle": name, "name": name}} for name in ("opal", "ada")
    ]
    lines.append({"command": "post", "as": "@ada", "data": {"text": "spam"}})
    stdin = "".join(json.dumps(line) + "\n" for line in lines).encode()
    made = starling("import", "-", "--data", data, stdin=stdin)
    post = json.loads(made.stdout.splitlines()[-1])["id"]
    why = ("--reason", "Spam", "--as", "@opal", "--data", data)
    for arguments, said in (
        (("remove-post", post), b"done"),
        (("remove-post", post), b"it is so already"),
        (("suspend", "@ada"), b"done"),
        (("unsuspend", "@ada"), b"done"),
    ):
        done = starling("moderate", *arguments, *why)
        assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr
    unknown = starling("moderate", "suspend", "@crow", *why)
    assert unknown.returncode != 0
    assert b"Traceback" not in unknown.stderr
