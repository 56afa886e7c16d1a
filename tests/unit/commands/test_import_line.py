"""Lines of imports, and what they refer to."""

import json
from functools import partial
from typing import Any

import pytest

from commands import (
    block,
    bookmark,
    dismissal,
    filters,
    follow,
    followed_hashtag,
    like,
    lists,
    muted_conversation,
    notifications,
    pin,
    post,
    private_note,
    retweet,
    user,
)
from commands.decider import Command
from commands.errors import InvalidInput, NotFound
from commands.import_line import (
    Credentials,
    ImportLine,
    LineTimes,
    command_from_line,
    credentials_from_line,
    parse_import_line,
    request_from_line,
)
from commands.references import ReferenceResolver
from commands.registry import DECIDERS_BY_NAME
from commands.request import CommandOutcome, CommandRequest
from events.ids.snowflake import LAST_ID, first_id_at, time_ms
from infra.in_memory.event_log import MemoryLog
from tests.support.faulty_logs import new_handler, recorded_events

ANNA = {"handle": "anna", "name": "Anna"}
MODERATION = {"remove_post", "suspend_account", "unsuspend_account"}


def line(command: str, data: dict[str, Any] | None = None, **rest: Any) -> ImportLine:
    fields = {"command": command, **({} if data is None else {"data": data}), **rest}
    return parse_import_line(json.dumps(fields).encode())


def no_time(ms: int) -> int:
    raise AssertionError("this line has no time")


NOW = 1_714_564_800_000  # 2024-05-01T12:00:00Z
MOMENT, MOMENT_MS = "2024-05-01T12:00:00Z", NOW
NO_TIMES = LineTimes(no_time, NOW)


async def world() -> tuple[MemoryLog, int, int]:
    """A log with Anna, registered by the line `a`, and her post, made by the line `p`."""
    log = MemoryLog()
    lines = [
        line("register", ANNA, key="a"),
        line("post", {"text": "hi"}, key="p", **{"as": "@anna"}),
    ]
    outcomes = await new_handler(log).handle_many(
        [partial(request_from_line, one, NO_TIMES) for one in lines]
    )
    anna, hi = (one.id for one in outcomes if isinstance(one, CommandOutcome))
    return log, anna, hi


OF_IDS: dict[str, tuple[dict[str, Any] | None, Command]] = {
    "mute_conversation": ({"post": "5"}, muted_conversation.MuteConversation(5)),
    "unmute_conversation": ({"post": "5"}, muted_conversation.UnmuteConversation(5)),
    "create_filter": (
        {"title": "x", "contexts": ["home"], "keywords": [{"text": "a"}], "expires_at": MOMENT},
        filters.CreateFilter("x", ("home",), "warn", MOMENT_MS, (filters.KeywordChange("a"),)),
    ),
    "change_filter": (
        {"filter": "5", "action": "hide", "expires_at": "", "filter_post": "7"},
        filters.ChangeFilter(5, action="hide", expires_at=0, filter_post=7),
    ),
    "delete_filter": ({"filter": 5}, filters.DeleteFilter(5)),
    "create_list": ({"title": "Friends"}, lists.CreateList("Friends")),
    "change_list": (
        {"list": "5", "replies_policy": "none"},
        lists.ChangeList(5, None, "none"),
    ),
    "delete_list": ({"list": 5}, lists.DeleteList(5)),
    "add_list_member": ({"list": 5, "user": "7"}, lists.AddListMember(5, 7)),
    "remove_list_member": ({"list": 5, "user": "7"}, lists.RemoveListMember(5, 7)),
}
"""Lines whose data stands for itself, and their commands."""


async def test_every_command_but_those_of_operators_can_be_given_by_a_line() -> None:
    log, anna, hi = await world()
    of_post, of_user, few = {"post": "key:p"}, {"user": "@Anna"}, {"first": 0, "last": 7}
    expected: dict[str, tuple[dict[str, Any] | None, Command]] = {
        "register": ({**ANNA, "bio": "b"}, user.Register("anna", "Anna", "b")),
        "change_profile": ({"bio": "new"}, user.ChangeProfile(bio="new")),
        "delete_account": (None, user.DeleteAccount()),
        "post": (
            {"text": "x", "reply_to": str(hi), "media": ["7"]},
            post.CreatePost("x", hi, ("7",)),
        ),
        "edit_post": ({"post": hi, "text": "y"}, post.EditPost(hi, "y")),
        "delete_post": (of_post, post.DeletePost(hi)),
        "comment": ({"post": "key:p", "text": "x"}, post.Comment(hi, "x")),
        "like": (of_post, like.Like(hi)),
        "unlike": (of_post, like.Unlike(hi)),
        "retweet": (of_post, retweet.Retweet(hi)),
        "unretweet": (of_post, retweet.Unretweet(hi)),
        "follow": (of_user, follow.Follow(anna)),
        "unfollow": (of_user, follow.Unfollow(anna)),
        "remove_follower": (of_user, follow.RemoveFollower(anna)),
        "block": (of_user, block.Block(anna)),
        "unblock": (of_user, block.Unblock(anna)),
        "mute": ({**of_user, "until": MOMENT}, block.Mute(anna, MOMENT_MS)),
        "unmute": ({"user": "key:a"}, block.Unmute(anna)),
        "write_note": ({**of_user, "text": "n"}, private_note.WriteNote(anna, "n")),
        "dismiss_recommendation": (of_user, dismissal.DismissRecommendation(anna)),
        "bookmark": (of_post, bookmark.Bookmark(hi)),
        "unbookmark": (of_post, bookmark.Unbookmark(hi)),
        "pin": (of_post, pin.Pin(hi)),
        "unpin": (of_post, pin.Unpin(hi)),
        "follow_hashtag": ({"tag": "x"}, followed_hashtag.FollowHashtag("x")),
        "unfollow_hashtag": ({"tag": "x"}, followed_hashtag.UnfollowHashtag("x")),
        "read_notifications": ({"through": 7}, notifications.ReadNotifications(7)),
        "dismiss_notifications": (few, notifications.DismissNotifications(0, 7)),
    } | OF_IDS
    assert expected.keys() == DECIDERS_BY_NAME.keys() - MODERATION
    for name, (data, command) in expected.items():
        assert command_from_line(line(name, data), ReferenceResolver(log)) == command


@pytest.mark.parametrize("name", sorted(MODERATION))
def test_no_line_moderates_since_none_can_say_that_its_user_is_an_operator(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        line(name, {"user": "@anna", "reason": "spam"}, **{"as": "@bob"})
    assert refused.value.code == "command-unknown"


async def test_who_gives_the_command_may_be_an_id_a_handle_or_a_key() -> None:
    log, anna, _ = await world()
    for reference in ("@anna", "@ANNA", "key:a", str(anna)):
        request = request_from_line(
            line("delete_account", None, **{"as": reference}), NO_TIMES, ReferenceResolver(log)
        )
        assert request == CommandRequest(user.DeleteAccount(), anna)


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("@missing", "user-not-found"),
        ("@", "user-not-found"),
        ("key:nothing", "user-not-found"),
        ("anna", "reference-invalid"),
        ("", "reference-invalid"),
        ("-5", "reference-invalid"),
        ("0", "reference-invalid"),
        ("\u0663", "reference-invalid"),
        (str(1 << 63), "reference-invalid"),
        ("9" * 400, "reference-invalid"),
    ],
)
async def test_a_reference_to_an_unknown_user_is_refused(reference: str, code: str) -> None:
    log, _, _ = await world()
    with pytest.raises((InvalidInput, NotFound)) as caught:
        ReferenceResolver(log).user_id(reference)
    assert caught.value.code == code


async def test_references_see_what_was_written_after_they_were_made() -> None:
    log = MemoryLog()
    references = ReferenceResolver(log)
    with pytest.raises(NotFound):
        references.user_id("@anna")
    anna = (await new_handler(log).handle(CommandRequest(user.Register("anna", "Anna"), 0))).id
    assert references.user_id("@anna") == anna


async def test_a_post_has_no_handle() -> None:
    log, _, _ = await world()
    for reference, kind in (("@anna", InvalidInput), ("key:nothing", NotFound)):
        with pytest.raises(kind):
            ReferenceResolver(log).post_id(reference)


@pytest.mark.parametrize(
    ("written", "code", "names"),
    [
        (b"{", "line-invalid", ""),
        (b"", "line-invalid", ""),
        (b"[]", "line-invalid", "object"),
        (b"\xff", "line-invalid", ""),
        (b'{"as": "@anna"}', "line-invalid", "command"),
        (b'{"command": 7}', "line-invalid", "$.command"),
        (b'{"command": "post", "when": "now"}', "line-invalid", "when"),
        (b'{"command": "post", "as": 7}', "line-invalid", "$.as"),
        (b'{"command": "explode"}', "command-unknown", "explode"),
    ],
)
def test_a_line_that_is_none_is_refused_with_the_field_that_is_wrong(
    written: bytes, code: str, names: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_import_line(written)
    assert caught.value.code == code
    assert names in str(caught.value)


@pytest.mark.parametrize(
    ("command", "data", "names"),
    [
        ("post", {}, "text"),
        ("post", {"text": "x", "colour": "red"}, "colour"),
        ("post", {"text": 7}, "$.text"),
        ("post", {"text": "x", "media": [7]}, "$.media"),
        ("like", {"user": "@anna"}, "user"),
        ("like", {"post": 1.5}, "$.post"),
        ("change_profile", {"handle": "x"}, "handle"),
        ("delete_account", {"sure": True}, "sure"),
    ],
)
async def test_wrong_data_is_refused_with_the_field_that_is_wrong(
    command: str, data: dict[str, Any], names: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        command_from_line(line(command, data), ReferenceResolver(MemoryLog()))
    assert caught.value.code == "data-invalid"
    assert names in str(caught.value)
    assert command in str(caught.value)


async def test_every_command_but_a_registration_says_who_gives_it() -> None:
    references = ReferenceResolver(MemoryLog())
    with pytest.raises(InvalidInput) as caught:
        request_from_line(line("delete_account"), NO_TIMES, references)
    assert caught.value.code == "as-missing"
    request = request_from_line(line("register", ANNA, **{"as": "@anna"}), NO_TIMES, references)
    assert request == CommandRequest(user.Register("anna", "Anna"), 0)


SECRETS = {"email": "anna@example.org", "password": "hush"}


async def test_credentials_stay_out_of_the_command_and_of_the_log() -> None:
    log = MemoryLog()
    registration = line("register", {**ANNA, **SECRETS}, key="a")
    request = request_from_line(registration, NO_TIMES, ReferenceResolver(log))
    await new_handler(log).handle(request)
    written = repr(request) + repr(registration) + repr(recorded_events(log))
    assert not any(secret in written for secret in SECRETS.values())
    credentials = credentials_from_line(registration)
    assert credentials == Credentials("anna@example.org", "hush")
    assert "hush" not in repr(credentials)


def test_only_registrations_have_credentials() -> None:
    assert credentials_from_line(line("register", ANNA)) == Credentials(None, None)
    assert credentials_from_line(line("delete_account")) is None


@pytest.mark.parametrize("extra", [{"email": 7}, {"colour": "red"}, {"handle": None}])
def test_messages_about_registrations_hold_no_secret(extra: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        command_from_line(
            line("register", {**ANNA, **SECRETS, **extra}), ReferenceResolver(MemoryLog())
        )
    assert not any(secret in str(caught.value) for secret in SECRETS.values())
    assert caught.value.__cause__ is None


async def test_a_line_with_a_time_happens_then() -> None:
    log = MemoryLog()
    then = 1_300_000_000_123
    numbers = iter(range(10))

    def timed(ms: int) -> int:
        return first_id_at(ms) + next(numbers)

    written = line("register", ANNA, at="2011-03-13T07:06:40.123Z")
    outcome = await new_handler(log).handle(
        request_from_line(written, LineTimes(timed, NOW), ReferenceResolver(log))
    )
    assert [time_ms(event.id) for event in recorded_events(log)] == [then, then]
    assert time_ms(outcome.id) == then


@pytest.mark.parametrize(
    ("at", "code"),
    [
        ("yesterday", "time-invalid"),
        ("20", "time-invalid"),
        ("2010-11-04T00:00:00Z", "time-out-of-range"),
        ("2010-11-04T01:42:54.656Z", "time-out-of-range"),
        ("2024-05-01T12:05:00.001Z", "time-out-of-range"),
        ("2079-01-01T00:00:00Z", "time-out-of-range"),
        (str(LAST_ID), "time-out-of-range"),
        ("2099-01-01T00:00:00Z", "time-out-of-range"),
    ],
)
async def test_a_time_before_the_first_id_or_after_now_is_refused(at: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        request_from_line(line("register", ANNA, at=at), NO_TIMES, ReferenceResolver(MemoryLog()))
    assert caught.value.code == code


@pytest.mark.parametrize("at", ["2010-11-04T01:42:54.657Z", "2024-05-01T12:05:00.000Z"])
async def test_the_bounds_that_a_refused_time_names_are_good(at: str) -> None:
    registration = line("register", ANNA, at="2079-01-01T00:00:00Z")
    with pytest.raises(InvalidInput, match=at):
        request_from_line(registration, NO_TIMES, ReferenceResolver(MemoryLog()))
    good, times = line("register", ANNA, at=at), LineTimes(first_id_at, NOW)
    assert request_from_line(good, times, ReferenceResolver(MemoryLog())).id_source is not None


@pytest.mark.parametrize(
    "raw",
    [
        b'{"command": "like", "as": "@anna", "key": "l", "data": ' + b"[" * 20_000,
        b'{"command": "like", "as": "@anna", "key": "l", "data": {"post": '
        + b"[" * 20_000 + b"]" * 20_000 + b"}}",
        b'{"command": "like", "as": "@anna", "data": {"post": "1", "x": ' + b'{"a":' * 20_000 + b"1"
        + b"}" * 20_001 + b"}",
        b"[" * 20_000,
        b'{"command": "like", "as": "@anna", "data": {"post": %s}}' % (b"9" * 4400),
        b'{"command": "like", "as": "@anna", "data": {"post": "%s"}}' % (b"9" * 4400),
        b'{"command": "like", "as": "@anna", "data": {"post": "1\\n"}}',
        b'{"command": "like", "as": "%s", "data": {"post": "1"}}' % (b"9" * 4400),
        b'{"command": "like", "as": "@anna", "at": "%s", "data": {"post": "1"}}' % (b"9" * 4400),
    ],
)  # fmt: skip
async def test_lines_that_make_parsers_stumble_are_refused(raw: bytes) -> None:
    log, _, _ = await world()
    with pytest.raises(InvalidInput):
        request_from_line(parse_import_line(raw), NO_TIMES, ReferenceResolver(log))


def test_a_byte_order_mark_is_no_part_of_a_line() -> None:
    assert parse_import_line(b"\xef\xbb\xbf" + b'{"command": "delete_account"}').key is None


async def test_a_key_stands_for_all_of_its_line() -> None:
    log, anna, _ = await world()
    await new_handler(log, 1000).handle(CommandRequest(user.Register("ben", "Ben"), 0))
    references = ReferenceResolver(log)

    def fingerprint(data: dict[str, Any], **rest: Any) -> bytes:
        key = request_from_line(line("post", data, key="k", **rest), NO_TIMES, references).key
        assert key is not None
        return key.fingerprint

    hi = {"text": "hi"}
    same = fingerprint(hi, **{"as": "@anna"})
    assert fingerprint(hi, **{"as": str(anna)}) == same
    others = [
        fingerprint({"text": "ho"}, **{"as": "@anna"}),
        fingerprint(hi, **{"as": "@ben"}),
        fingerprint(hi, **{"as": "@anna", "at": "2020-01-01T00:00:00Z"}),
    ]
    assert len({same, *others}) == 4
