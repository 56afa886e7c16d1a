"""What users wrote is text on an operator's terminal: no order to it, no link, no markup."""

import json
from pathlib import Path

import pytest

from tests.support.starling_program import starling, starling_on_terminal

TEXTS = (
    "[/b] and [link=http://evil.example]click[/link] and [bold]loud[/bold] :smile:",
    "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "\x9b2J\x9d0;title\x9c",
    "left\u202eright\u2066\u200f",
    "\x1b[31mred\x7f\x08\x08",
    "a\rb",
)
ORDERS = ("\x1b]", "\x9b", "\x9d", "\u202e", "\u2066", "\u200f", "\x7f", "\x08", "\x07", "\x1b[31m")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with those posts. Commands refuse some of them, so they come from another log."""
    plain, folder = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("data")
    lines = [
        {"command": "register", "data": {"handle": "ada", "name": "Ada"}},
        *({"command": "post", "as": "@ada", "data": {"text": f"t{n}."}} for n in range(len(TEXTS))),
    ]
    text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    assert starling("import", "-", "--data", plain, stdin=text).returncode == 0
    events = starling("replay", "--data", plain).stdout
    for number, hostile in enumerate(TEXTS):
        written = json.dumps(hostile, ensure_ascii=False).encode()
        events = events.replace(f'"t{number}."'.encode(), written)
    assert starling("restore", "-", "--data", folder, stdin=events).returncode == 0
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ("sql", "SELECT text FROM posts ORDER BY post"),
        ("sql", 'SELECT text AS "[/b]\x1b]8;;x\x07" FROM posts ORDER BY post'),
        ("sql", "SELECT text, * FROM posts ORDER BY post"),
        ("sql", "SELECT text FROM posts ORDER BY post", "--lines"),
        ("sql", "SELECT text FROM posts ORDER BY post", "--json"),
        ("sql", "SELECT text FROM posts ORDER BY post", "--csv"),
        ("replay",),
        ("replay", "--format", "csv"),
        ("replay", "--format", "cloudevents"),
        ("projections", "show", "posts"),
        ("projections", "show", "posts", "--json"),
    ],
    ids=" ".join,
)
def test_no_text_of_users_is_obeyed_by_a_terminal(command: tuple[str, ...], data: Path) -> None:
    status, shown = starling_on_terminal(*command, "--data", data, columns=400)
    assert status == 0, shown
    assert "[link=http://evil.example]click[/link]" in shown, "what looks like markup is text"
    assert ":smile:" in shown
    assert "click" in shown
    assert [order for order in ORDERS if order in shown] == []


def test_an_error_that_repeats_text_is_one_line_without_orders(data: Path) -> None:
    hostile = "\x1b]8;;http://evil.example\x07\u202e[/b]\nstarling: all is well"
    for command in (
        ("replay", "--user", f"@{hostile}"),
        ("replay", "--stream", "post-1", "--from", hostile),
        ("sql", f"SELECT CAST('{hostile}' AS INTEGER)"),
        ("projections", "show", hostile),
        ("restore", data / hostile.replace("/", "")),
    ):
        status, shown = starling_on_terminal(*command, "--data", data, columns=200)
        assert status != 0
        assert [order for order in ORDERS if order in shown] == [], command


def test_what_is_piped_is_exact(data: Path) -> None:
    asked = starling("sql", "SELECT text FROM posts ORDER BY post", "--json", "--data", data)
    assert [row["text"] for row in json.loads(asked.stdout)] == list(TEXTS)
    assert "\u202e".encode() in asked.stdout
    lines = starling("replay", "--type", "post-created", "--data", data).stdout.splitlines()
    assert [json.loads(line)["data"]["text"] for line in lines] == list(TEXTS)
    assert b"\x7f" in b"".join(lines)


def test_what_a_terminal_shows_of_a_replay_is_the_same_json(data: Path) -> None:
    _, shown = starling_on_terminal("replay", "--type", "post-created", "--data", data, columns=400)
    found = [json.loads(line)["data"]["text"] for line in shown.splitlines()]
    assert found == list(TEXTS)
