"""Batches of clicks: what is refused, what is kept of them, and whose."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from api.clicks.click_intake import MOST_RECORDS, ClickIntake, decode_batch
from api.clicks.click_log import Click
from commands.errors import InvalidInput
from events.ids.snowflake import LAST_ID

NOW = 1_770_000_000_000
VIEW = {"session": "s", "kind": "view", "post": "5"}


class ClicksInList:
    """As much of a `ClickLog` as an intake needs."""

    def __init__(self) -> None:
        self.clicks: list[Click] = []

    async def append_clicks(self, clicks: Sequence[Click]) -> None:
        self.clicks += clicks


async def take(*records: dict[str, Any], sample: float = 1.0, key: bytes = b"k") -> list[Click]:
    log = ClicksInList()
    intake = ClickIntake(log, log, key, lambda: NOW, sample)  # type: ignore[arg-type]
    batch = decode_batch(msgspec.json.encode({"clicks": records}))
    assert await intake.take(batch, 7) == len(log.clicks)
    return log.clicks


async def test_a_record_is_kept_without_what_says_who_it_was() -> None:
    dwell = {
        "session": "ada@example.org",
        "kind": "dwell",
        "page": "/search?q=my+illness#top",
        "dwell": 1200,
        "referrer": "https://ada:secret@example.org/mail?id=1",
        "at": "2026-02-02T02:39:59.5Z",
    }
    [click] = await take(dwell)
    assert click[3:] == (7, None, "/search", "dwell", 1200, "example.org")
    assert (click.received_ms, click.at_ms) == (NOW, NOW - 500)
    assert "ada" not in repr(click)


@pytest.mark.parametrize(
    ("host", "stored"),
    [
        ("example.org:8080", "example.org"),
        ("WWW.Example.org.", "www.example.org."),
        ("localhost", "localhost"),
        ("bücher.example", "bücher.example"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("192.168.7.9", None),
        ("192.168.7.9.:80", None),
        ("[2001:db8::7]:8080", None),
        ("[fe80::1%25eth0]", None),
        ("[::ffff:10.0.0.1]", None),
        ("10.1", None),
        ("3232237321", None),
        ("0xC0A80709", None),
        ("0300.0250.07.011", None),
        ("%31%39%32.168.7.9", None),
        ("１９２.168.7.9", None),
        ("192。168。7。9", None),
        ("②.③", None),
    ],
)
async def test_of_a_referrer_the_name_is_stored_and_no_network_address(
    host: str, stored: str | None
) -> None:
    [click] = await take(VIEW | {"referrer": f"http://{host}/page"})
    assert click.referrer == stored


async def test_a_session_is_the_same_number_under_the_same_key_alone() -> None:
    other = VIEW | {"session": "t"}
    one, again, another = await take(VIEW, VIEW, other)
    assert one.session == again.session != another.session
    [elsewhere] = await take(VIEW, key=b"another")
    assert elsewhere.session != one.session
    assert -(1 << 63) <= one.session < 1 << 63


async def test_a_sample_keeps_the_same_sessions_whole() -> None:
    records = [VIEW | {"session": f"s{number % 100}"} for number in range(500)]
    kept = await take(*records, sample=0.3)
    sessions = [click.session for click in kept]
    assert 10 <= len(set(sessions)) <= 50
    assert all(sessions.count(session) == 5 for session in sessions)
    assert kept == await take(*records, sample=0.3)
    assert await take(*records, sample=0) == []
    assert len(await take(*records)) == 500


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "swipe"}, "`clicks.1.kind`: invalid enum value 'swipe'"),
        ({"session": ""}, "`clicks.1.session`: expected `str` of length >= 1"),
        ({"post": 5}, "`clicks.1.post`: expected `str | null`, got `int`"),
        ({"post": "0"}, "`clicks.1`: `post` 0 is the id of no post"),
        ({"post": str(LAST_ID + 1)}, "is the id of no post"),
        ({"post": None}, "`clicks.1`: name either a `post` or a `page`"),
        ({"page": "/about"}, "`clicks.1`: name either a `post` or a `page`"),
        ({"dwell": 5}, "`clicks.1`: `dwell` (in ms) belongs to the kind dwell"),
        ({"kind": "dwell"}, "`clicks.1`: `dwell` (in ms) belongs to the kind dwell"),
        ({"kind": "dwell", "dwell": -1}, "`clicks.1.dwell`: expected `int` >= 0"),
        ({"address": "127.0.0.1"}, "`clicks.1`: object contains unknown field `address`"),
        ({"at": "2026-02-02T02:40:00"}, "`clicks.1.at`"),
        ({"at": "2020-02-02T02:40:00Z"}, "`clicks.1`: `at` is more than a day away"),
        ({"referrer": "http://[::1"}, "`clicks.1`: `referrer` is no address"),
    ],
)
async def test_a_record_that_can_not_be_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await take(VIEW, VIEW | change)
    assert said in str(refused.value)


@pytest.mark.parametrize("text", [b"", b"x", b'"\\ud800"', b'"\xff"'])
def test_what_is_no_json_is_told_from_what_does_not_fit(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_batch(b'{"clicks": [{"session": %s, "kind": "view", "post": "5"}]}' % text)


@pytest.mark.parametrize("count", [0, MOST_RECORDS + 1])
async def test_a_batch_has_some_records_and_not_too_many(count: int) -> None:
    with pytest.raises(InvalidInput, match="`clicks`: expected `array` of length"):
        await take(*[VIEW] * count)


async def test_a_clock_that_goes_ahead_makes_no_click_of_the_future() -> None:
    [click] = await take(VIEW | {"at": "2026-02-02T12:00:00Z"})
    assert click.at_ms == NOW
