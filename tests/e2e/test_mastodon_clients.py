"""Clients that are not ours, on one server with two API processes: Mastodon.py, the library, and
toot, the program for terminals.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from queue import Queue
from threading import Event
from typing import Any

import pytest
from click.testing import CliRunner
from mastodon import (
    Mastodon,
    MastodonAPIError,
    MastodonIllegalArgumentError,
    MastodonNotFoundError,
    MastodonUnauthorizedError,
    StreamListener,
)
from toot import App
from toot.api import create_app, register_account
from toot.cli import TootObj, cli

from tests.support.mastodon_people import (
    SignedInPerson,
    allow_app,
    mastodon_server,
    sign_up,
    write_posts,
)
from tests.support.media import image_bytes
from tests.support.running_server import PASSWORD
from tests.support.toot_commands import toot_as
from tests.support.waiting import PATIENCE_SECONDS

POSTS = 155


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mastodon_server(tmp_path_factory.mktemp("clients")) as address:
        yield address


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in ("CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def signed_in(server: str) -> Any:
    """Signs a new account in."""

    def sign_in(handle: str) -> Any:
        person = sign_up(server, handle)
        return Mastodon(
            access_token=person.token, api_base_url=server, ratelimit_method="throw", lang="en"
        )

    return sign_in


def wait_for(found: Callable[[], Any]) -> Any:
    """What is found in the end: the index of words takes a moment."""
    deadline = time.monotonic() + 20
    while not (answer := found()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer


def ids(found: Any) -> list[str]:
    return [str(one.id) for one in found]


def test_a_server_and_an_account_are_known(server: str, signed_in: Any) -> None:
    ada = signed_in("ada_1")
    assert ada.retrieve_mastodon_version()
    assert ada.verify_minimum_version("4.3.0")
    assert ada.instance().configuration.statuses.max_characters == 280
    me = ada.account_verify_credentials()
    assert (me.acct, me.display_name, me.source.privacy) == ("ada_1", "ada_1", "public")
    changed = ada.account_update_credentials(
        display_name="Ada L.", note="I write", avatar=image_bytes(1), avatar_mime_type="image/png"
    )
    assert (changed.display_name, changed.source.note) == ("Ada L.", "I write")
    shown = ada.account_update_credentials(fields=[("Pronouns", "she/her")], bot=True)
    assert (shown.fields[0].value, shown.bot) == ("she/her", True)
    assert changed.avatar.startswith(f"{server}/v1/media/")
    assert ada.account_lookup("@ada_1").id == me.id
    wrong = Mastodon(access_token="x", api_base_url=server)
    with pytest.raises(MastodonUnauthorizedError):
        wrong.account_verify_credentials()


def registered_app(server: str, **options: Any) -> Any:
    """The client of a new app that is signed in by no account yet."""
    id, secret = Mastodon.create_app("a phone", api_base_url=server)
    return Mastodon(client_id=id, client_secret=secret, api_base_url=server, **options)


def test_an_app_is_signed_in_by_a_code_and_signed_out(server: str) -> None:
    sign_up(server, "ada_8")
    client = registered_app(server)
    code = allow_app(client.auth_request_url(allow_http=True), "ada_8")
    assert client.log_in(code=code, allow_http=True)
    assert client.app_verify_credentials().name == "a phone"
    assert client.me().acct == "ada_8"
    assert client.status_post("from a phone").account.acct == "ada_8"
    client.revoke_access_token(allow_http=True)
    with pytest.raises((MastodonUnauthorizedError, MastodonAPIError)):
        client.me()


def test_an_app_is_signed_in_by_a_password_and_gets_no_more_than_it_asked_for(server: str) -> None:
    sign_up(server, "ada_9")
    client = registered_app(server)
    with pytest.raises(MastodonIllegalArgumentError):
        client.log_in("ada_9@x.org", "a guess", allow_http=True)
    assert client.log_in("ada_9@x.org", PASSWORD, scopes=["read"], allow_http=True)
    assert client.me().acct == "ada_9"
    with pytest.raises(MastodonAPIError, match="scope"):
        client.status_post("it may only read")


class Heard(StreamListener):
    """What a stream said, in a queue."""

    def __init__(self) -> None:
        self.connected = Event()
        self.updates: Queue[Any] = Queue()

    def handle_heartbeat(self) -> None:
        """The first is the server's first line."""
        self.connected.set()

    def on_update(self, status: Any) -> None:
        self.updates.put(("update", status.content))

    def on_status_update(self, status: Any) -> None:
        self.updates.put(("edit", status.content))

    def on_delete(self, status_id: Any) -> None:
        self.updates.put(("delete", str(status_id)))

    def on_notification(self, notification: Any) -> None:
        self.updates.put((notification.type, notification.account.acct))


def test_a_stream_says_what_happens(signed_in: Any) -> None:
    ada, bob = signed_in("ada_10"), signed_in("bob_10")
    ada.account_follow(bob.me().id)
    heard = Heard()
    assert ada.stream_healthy()
    with closing(ada.stream_user(heard, run_async=True)):
        # The client connects in a thread of its own.
        assert heard.connected.wait(PATIENCE_SECONDS)
        post = bob.status_post("news for @ada_10")
        both = {heard.updates.get(timeout=PATIENCE_SECONDS)[0] for _ in range(2)}
        assert both == {"update", "mention"}
        bob.status_update(post, "better news")
        assert heard.updates.get(timeout=PATIENCE_SECONDS) == ("edit", "<p>better news</p>")
        bob.status_delete(post)
        assert heard.updates.get(timeout=PATIENCE_SECONDS) == ("delete", str(post.id))


def test_a_post_is_written_answered_changed_and_written_anew(signed_in: Any) -> None:
    ada, bob = signed_in("ada_2"), signed_in("bob_2")
    medium = ada.media_post(image_bytes(2), "image/png", description="An owl", focus=(0.0, 0.5))
    post = ada.status_post("hello #snow", media_ids=[medium], idempotency_key="once")
    assert ada.status_post("hello #snow", media_ids=[medium], idempotency_key="once").id == post.id
    assert [one.description for one in post.media_attachments] == ["An owl"]
    answer = bob.status_reply(post, "hello you")
    assert answer.in_reply_to_id == post.id
    context = ada.status_context(post)
    assert (ids(context.ancestors), ids(context.descendants)) == ([], ids([answer]))
    edited = ada.status_update(post, "hello #ice", media_ids=[medium])
    assert edited.edited_at is not None
    assert ["snow" in one.content for one in ada.status_history(post)] == [True, False]
    assert ada.status_source(post).text == "hello #ice"
    deleted = ada.status_delete(post)
    with pytest.raises(MastodonNotFoundError):
        bob.status(post)
    again = ada.status_post(deleted.text, media_ids=deleted.media_attachments)
    assert ids(again.media_attachments) == ids([medium])


def test_a_post_is_favourited_and_boosted(signed_in: Any) -> None:
    ada, bob = signed_in("ada_3"), signed_in("bob_3")
    post = ada.status_post("look")
    assert bob.status_favourite(post).favourites_count == 1
    boost = bob.status_reblog(post)
    assert (boost.reblog.id, boost.reblog.reblogs_count) == (post.id, 1)
    assert [one.acct for one in ada.status_favourited_by(post)] == ["bob_3"]
    assert [one.acct for one in ada.status_reblogged_by(post)] == ["bob_3"]
    assert post.id in [one.id for one in ada.trending_statuses()]
    assert ada.trending_tags() == []
    assert not bob.status_unreblog(post).reblogged
    assert not bob.status_unfavourite(post).favourited
    tomorrow = post.created_at + timedelta(days=1)
    for refused in ({"visibility": "private"}, {"scheduled_at": tomorrow}):
        with pytest.raises(MastodonAPIError):
            ada.status_post("psst", **refused)


def test_relationships_are_what_was_done_last(signed_in: Any) -> None:
    ada, bob = signed_in("ada_4"), signed_in("bob_4")
    id = bob.me().id
    assert ada.account_follow(id).following
    assert [one.acct for one in bob.account_followers(id)] == ["ada_4"]
    assert ada.account_mute(id).muting
    assert not ada.account_unmute(id).muting
    assert ada.account_block(id).blocking
    assert ada.account_relationships([id])[0].blocking
    assert not ada.account_unblock(id).blocking
    assert not ada.account_unfollow(id).following


def test_an_app_signs_a_new_account_up(server: str) -> None:
    client = registered_app(server)
    new = {"username": "ada_11", "password": PASSWORD, "email": "ada_11@x.org"}
    _, refused = client.create_account(**new, return_detailed_error=True)
    assert refused.details.agreement[0].error == "ERR_ACCEPTED"
    client.create_account(**new, agreement=True)
    assert client.me().acct == "ada_11"
    new["email"] = "other@x.org"
    _, refused = client.create_account(**new, agreement=True, return_detailed_error=True)
    assert refused.details.username[0].error == "ERR_TAKEN"


def test_a_mute_ends_by_itself_and_an_account_has_a_note(signed_in: Any) -> None:
    ada, bob, cy = [signed_in(f"{name}_12") for name in ("ada", "bob", "cy")]
    id = bob.me().id
    muted = ada.account_mute(id, notifications=False, duration=3600)
    assert (muted.muting, muted.muting_notifications) == (True, False)
    assert ada.mutes()[0].mute_expires_at is not None
    ada.account_mute(id, duration=1)
    assert ada.account_note_set(id, "met at the quay").note == "met at the quay"
    bob.account_follow(ada.me().id)
    cy.account_follow(id)
    [familiar] = cy.account_familiar_followers(ada.me().id)
    assert [one.acct for one in familiar.accounts] == ["bob_12"]
    assert not ada.account_remove_from_followers(id).followed_by
    assert wait_for(lambda: ada.mutes() == [])
    assert not ada.account_relationships([id])[0].muting


def test_notifications_are_listed_grouped_and_dismissed(signed_in: Any) -> None:
    ada, bob, cy = [signed_in(f"{name}_5") for name in ("ada", "bob", "cy")]
    post = ada.status_post("look")
    for friend in (bob, cy):
        friend.status_favourite(post)
    bob.status_post("hi @ada_5")
    found = ada.notifications()
    assert [one.type for one in found] == ["mention", "favourite", "favourite"]
    assert found[1].status.id == post.id
    assert ada.notifications(id=found[0].id).account.acct == "bob_5"
    assert ada.notifications_unread_count().count == 3
    groups = ada.grouped_notifications().notification_groups
    assert [(one.type, one.notifications_count) for one in groups] == [
        ("mention", 1),
        ("favourite", 2),
    ]
    assert ada.notifications_policy().for_not_following == "accept"
    ada.markers_set("notifications", found[0].id)
    assert str(ada.markers_get("notifications").notifications.last_read_id) == str(found[0].id)
    assert ada.notifications_unread_count().count == 0
    ada.dismiss_grouped_notification(groups[1].group_key)
    assert [one.type for one in ada.notifications()] == ["mention"]
    ada.notifications_clear()
    assert ada.notifications() == []


def test_searches_find_people_posts_and_hashtags(server: str, signed_in: Any) -> None:
    ada = signed_in("ada_6")
    post = ada.status_post("a quokka in #australia")
    found = ada.search_v2("@ada_6", resolve=True)
    assert [one.acct for one in found.accounts] == ["ada_6"]
    by_address = ada.search_v2(post.url, resolve=True)
    assert ids(by_address.statuses) == ids([post])
    assert ada.account_search("ada_6")[0].acct == "ada_6"


def test_a_timeline_is_walked_in_all_directions(server: str, signed_in: Any) -> None:
    person = sign_up(server, "ada_7")
    client: Any = Mastodon(access_token=person.token, api_base_url=server, ratelimit_method="throw")
    written = sorted(write_posts(person, POSTS), key=int, reverse=True)
    last = client.status_post("the last one")
    wanted = [str(last.id), *written]
    whole = client.fetch_remaining(client.timeline_home(limit=40))
    assert ids(whole) == wanted
    assert ids(client.fetch_remaining(client.account_statuses(person.id, limit=40))) == wanted
    page = client.timeline_home(max_id=wanted[100], limit=10)
    assert ids(page) == wanted[101:111]
    assert ids(client.fetch_previous(page)) == wanted[91:101]
    assert ids(client.fetch_next(page)) == wanted[111:121]
    assert ids(client.timeline_home(min_id=wanted[50], limit=5)) == wanted[45:50]
    assert ids(client.timeline_home(since_id=wanted[50], limit=5)) == wanted[:5]
    upwards: list[str] = []
    page = client.timeline_home(min_id="1", limit=40)
    while page:
        upwards = ids(page) + upwards
        page = client.fetch_previous(page)
    assert upwards == wanted


def test_toot_registers_an_account(server: str) -> None:
    app = create_app(server)
    made = App(server.partition("://")[2], server, app["client_id"], app["client_secret"])
    token = register_account(made, "ada_t5", "ada_t5@x.org", PASSWORD)["access_token"]
    ada = toot_as(SignedInPerson(server, "ada_t5", "", token))
    assert ada("whoami")["acct"] == "ada_t5"


def test_toot_signs_a_person_in_by_password_and_by_code(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_up(server, "ada_t0")
    by_password = ["--instance", server, "--email", "ada_t0@x.org", "--password", PASSWORD]
    done = CliRunner().invoke(cli.commands["login_cli"], by_password)
    assert (done.exit_code, "Successfully logged in" in done.output) == (0, True), done.output
    shown = CliRunner().invoke(cli.commands["whoami"], ["--json"], obj=TootObj())
    assert json.loads(shown.stdout)["acct"] == "ada_t0"

    sign_up(server, "bob_t0")
    addresses = list[str]()
    monkeypatch.setattr("webbrowser.open", addresses.append)
    monkeypatch.setattr("click.prompt", lambda asked, **_: (
        allow_app(addresses[0], "bob_t0") if asked == "Authorization code" else "y"
    ))  # fmt: skip
    done = CliRunner().invoke(cli.commands["login"], ["--instance", server])
    assert (done.exit_code, "Successfully logged in" in done.output) == (0, True), done.output
    shown = CliRunner().invoke(cli.commands["whoami"], ["--json"], obj=TootObj())
    assert json.loads(shown.stdout)["acct"] == "bob_t0"


def test_toot_shows_a_person_and_a_server(server: str) -> None:
    ada = toot_as(sign_up(server, "ada_t1"))
    assert ada("whoami")["acct"] == "ada_t1"
    assert ada("whois", "ada_t1")["acct"] == "ada_t1"
    assert "Starling" in ada("instance", text=True)
    changed = ada("update_account", "--display-name", "Ada L.", "--note", "I write")
    assert (changed["display_name"], changed["source"]["note"]) == ("Ada L.", "I write")


def test_toot_writes_answers_and_deletes_a_post(server: str, tmp_path: Path) -> None:
    ada, bob = toot_as(sign_up(server, "ada_t2")), toot_as(sign_up(server, "bob_t2"))
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
    assert [one["acct"] for one in ada("reblogged_by", post["id"])] == ["bob_t2"]
    assert not bob("unfavourite", post["url"])["favourited"]
    assert not bob("unreblog", post["id"])["reblogged"]
    shown = ada("notifications", text=True)
    assert "bob_t2" in shown
    ada("notifications", "--clear", text=True)
    assert ada("delete", post["id"])["text"] == "hello #snow"
    home = bob("timeline", "--public", "--once", text=True)
    assert "hello you" in home
    assert "hello #snow" not in home


def test_toot_follows_mutes_and_blocks_people(server: str) -> None:
    ada = toot_as(sign_up(server, "ada_t3"))
    sign_up(server, "bob_t3")
    assert ada("follow", "bob_t3")["following"]
    assert [one["acct"] for one in ada("following", "ada_t3")] == ["bob_t3"]
    assert [one["acct"] for one in ada("followers", "bob_t3")] == ["ada_t3"]
    assert ada("mute", "@bob_t3")["muting"]
    assert not ada("unmute", "bob_t3")["muting"]
    assert not ada("unfollow", "bob_t3")["following"]
    assert ada("block", "bob_t3")["blocking"]
    assert not ada("unblock", "bob_t3")["blocking"]


def test_toot_finds_what_was_posted(server: str) -> None:
    ada = toot_as(sign_up(server, "ada_t4"))
    post = ada("post", "a wombat in #tasmania")
    found = wait_for(lambda: ada("search", "wombat", "--type", "statuses")["statuses"])
    assert [one["id"] for one in found] == [post["id"]]
    tags = wait_for(lambda: ada("search", "#tasman", "--type", "hashtags")["hashtags"])
    assert [one["name"] for one in tags] == ["tasmania"]
