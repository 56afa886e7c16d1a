"""toot, the client for terminals, on a server with two API processes."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from toot import App, User
from toot.cli import Context, TootObj, cli

from tests.support.mastodon_people import SignedInPerson, allow_app, mastodon_server, sign_up
from tests.support.media import image_bytes
from tests.support.running_server import PASSWORD

Toot = Callable[..., Any]
"""Runs a command of toot as a person: what it printed, as JSON where that was asked for."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mastodon_server(tmp_path_factory.mktemp("toot")) as address:
        yield address


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in ("CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path))


def toot_as(person: SignedInPerson) -> Toot:
    domain = person.server.partition("://")[2]
    app = App(domain, person.server, "id", "secret")
    context = Context(app, User(domain, person.handle, person.token))

    def toot(command: str, *arguments: str, text: bool = False) -> Any:
        options = list(arguments) if text else [*arguments, "--json"]
        done = CliRunner().invoke(cli.commands[command], options, obj=TootObj(test_ctx=context))
        assert done.exit_code == 0, done.output
        return done.output if text else json.loads(done.stdout)

    return toot


def wait_for(found: Callable[[], Any]) -> Any:
    """What a search finds, once the index of words is there."""
    deadline = time.monotonic() + 20
    while not (answer := found()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer


def test_a_person_signs_in_by_password_and_by_code(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_up(server, "ada_0")
    by_password = ["--instance", server, "--email", "ada_0@x.org", "--password", PASSWORD]
    done = CliRunner().invoke(cli.commands["login_cli"], by_password)
    assert (done.exit_code, "Successfully logged in" in done.output) == (0, True), done.output
    shown = CliRunner().invoke(cli.commands["whoami"], ["--json"], obj=TootObj())
    assert json.loads(shown.stdout)["acct"] == "ada_0"

    sign_up(server, "bob_0")
    addresses = list[str]()
    monkeypatch.setattr("webbrowser.open", addresses.append)
    monkeypatch.setattr("click.prompt", lambda asked, **_: (
        allow_app(addresses[0], "bob_0") if asked == "Authorization code" else "y"
    ))  # fmt: skip
    done = CliRunner().invoke(cli.commands["login"], ["--instance", server])
    assert (done.exit_code, "Successfully logged in" in done.output) == (0, True), done.output
    shown = CliRunner().invoke(cli.commands["whoami"], ["--json"], obj=TootObj())
    assert json.loads(shown.stdout)["acct"] == "bob_0"


def test_a_person_and_a_server_are_shown(server: str) -> None:
    ada = toot_as(sign_up(server, "ada_1"))
    assert ada("whoami")["acct"] == "ada_1"
    assert ada("whois", "ada_1")["acct"] == "ada_1"
    assert "Starling" in ada("instance", text=True)
    changed = ada("update_account", "--display-name", "Ada L.", "--note", "I write")
    assert (changed["display_name"], changed["source"]["note"]) == ("Ada L.", "I write")


def test_a_post_is_written_answered_and_deleted(server: str, tmp_path: Path) -> None:
    ada, bob = toot_as(sign_up(server, "ada_2")), toot_as(sign_up(server, "bob_2"))
    picture = tmp_path / "owl.png"
    picture.write_bytes(image_bytes(3))
    assert ada("upload", str(picture), "--description", "A cat")["description"] == "A cat"
    post = ada("post", "hello #snow", "--media", str(picture), "--description", "An owl")
    assert [one["description"] for one in post["media_attachments"]] == ["An owl"]
    answer = bob("post", "hello you", "--reply-to", post["id"])
    thread = ada("thread", post["id"])
    assert [one["id"] for one in thread["descendants"]] == [answer["id"]]
    assert bob("favourite", post["id"])["favourites_count"] == 1
    assert bob("reblog", post["id"])["reblog"]["id"] == post["id"]
    assert [one["acct"] for one in ada("reblogged_by", post["id"])] == ["bob_2"]
    assert not bob("unfavourite", post["url"])["favourited"]
    assert not bob("unreblog", post["id"])["reblogged"]
    shown = ada("notifications", text=True)
    assert "bob_2" in shown
    ada("notifications", "--clear", text=True)
    assert ada("delete", post["id"])["text"] == "hello #snow"
    home = bob("timeline", "--public", "--once", text=True)
    assert "hello you" in home
    assert "hello #snow" not in home


def test_people_are_followed_muted_and_blocked(server: str) -> None:
    ada = toot_as(sign_up(server, "ada_3"))
    sign_up(server, "bob_3")
    assert ada("follow", "bob_3")["following"]
    assert [one["acct"] for one in ada("following", "ada_3")] == ["bob_3"]
    assert [one["acct"] for one in ada("followers", "bob_3")] == ["ada_3"]
    assert ada("mute", "@bob_3")["muting"]
    assert not ada("unmute", "bob_3")["muting"]
    assert not ada("unfollow", "bob_3")["following"]
    assert ada("block", "bob_3")["blocking"]
    assert not ada("unblock", "bob_3")["blocking"]


def test_a_search_finds_what_was_posted(server: str) -> None:
    ada = toot_as(sign_up(server, "ada_4"))
    post = ada("post", "a quokka in #australia")
    found = wait_for(lambda: ada("search", "quokka", "--type", "statuses")["statuses"])
    assert [one["id"] for one in found] == [post["id"]]
    tags = wait_for(lambda: ada("search", "#austral", "--type", "hashtags")["hashtags"])
    assert [one["name"] for one in tags] == ["australia"]
