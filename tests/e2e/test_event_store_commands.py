"""The program on a log in EventStoreDB, with views in SQLite: every command that a log concerns."""

import json
from pathlib import Path

import pytest

from tests.support.event_store import event_store_address, event_store_is_installed
from tests.support.starling_program import starling

pytestmark = pytest.mark.skipif(
    not event_store_is_installed(), reason="eventstoredb: Python below 3.13"
)

LINES = b"""
{"command": "register", "key": "ada", "data": {"handle": "ada", "name": "Ada"}}
{"command": "register", "key": "bob", "data": {"handle": "bob", "name": "Bob"}}
{"command": "follow", "as": "@bob", "key": "f", "data": {"user": "@ada"}}
{"command": "post", "as": "@ada", "key": "p", "data": {"text": "hello \\u2603 #birds"}}
{"command": "comment", "as": "@bob", "key": "c", "data": {"post": "key:p", "text": "hi"}}
{"command": "like", "as": "@bob", "key": "l", "data": {"post": "key:p"}}
{"command": "edit_post", "as": "@ada", "key": "e", "data": {"post": "key:p", "text": "#wrens"}}
""".strip()


class Folder:
    """A data folder whose log is in EventStoreDB."""

    def __init__(self, path: Path, address: str) -> None:
        self.path, self.address = path, address

    def run(self, *arguments: str | Path, status: int = 0, stdin: bytes = b"") -> str:
        """What a command prints."""
        done = starling(*arguments, "--data", self.path, stdin=stdin, STARLING_LOG=self.address)
        assert done.returncode == status, done.stderr.decode()
        return done.stdout.decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("data")
    folder = Folder(path / "data", event_store_address(path))
    answers = folder.run("import", "-", stdin=LINES).splitlines()
    assert {json.loads(answer)["status"] for answer in answers} <= {200, 201}
    return folder


def without_positions(lines: str) -> list[str]:
    """The lines of a replay, byte for byte but for the positions."""
    texts = []
    for line in lines.splitlines():
        position = json.loads(line)["position"]
        texts.append(line.replace(f'"position":"{position}",', "", 1))
    return texts


def test_an_import_that_is_sent_again_does_nothing_twice(folder: Folder) -> None:
    before = folder.run("replay")
    assert len(before.splitlines()) == 9
    again = folder.run("import", "-", stdin=LINES).splitlines()
    assert {json.loads(answer)["status"] for answer in again} <= {200, 201}
    assert folder.run("replay") == before


def test_views_are_rebuilt_and_compared_and_asked_about_the_past(folder: Folder) -> None:
    folder.run("projections", "rebuild", "posts")
    folder.run("projections", "rebuild", "posts", "--verify")
    statuses = json.loads(folder.run("projections", "status", "posts", "--json"))
    assert {(each["state"], each["lag"]) for each in statuses} == {("current", 0)}
    events = [json.loads(line) for line in folder.run("replay").splitlines()]
    liked = next(each["position"] for each in events if each["type"] == "post-liked")
    then = folder.run("projections", "show", "posts", "--at", liked, "--json")
    assert "birds" in then
    assert "wrens" not in then
    assert "wrens" in folder.run("projections", "show", "posts", "--json")
    day = events[0]["time"]
    assert (
        len(folder.run("replay", "--from", day, "--to", "2100-01-01T00:00:00Z").splitlines()) == 9
    )
    assert folder.run("replay", "--to", day) == ""


def test_the_log_is_whole_and_can_be_asked_in_sql(folder: Folder) -> None:
    folder.run("events", "verify")
    rows = folder.run("sql", "--csv", "SELECT count(*) FROM events")
    assert rows.split() == ["count_star()", "9"]


def test_a_position_that_it_never_gave_and_a_backup_of_files_are_refused(folder: Folder) -> None:
    folder.run("replay", "--after", "3", status=2)
    # A snapshot up to there would be one that no later question can go on from.
    folder.run("projections", "show", "posts", "--at", "3", status=2)
    folder.run("backup", folder.path.parent / "backup", status=2)


def test_a_copy_goes_on_where_it_broke_off_and_is_the_same_log(
    folder: Folder, tmp_path: Path
) -> None:
    there, node = tmp_path / "there", tmp_path / "node"
    node.mkdir()
    folder.run("copy-log", folder.address, there)
    more = b'{"command": "post", "as": "@ada", "key": "p2", "data": {"text": "more"}}'
    folder.run("import", "-", stdin=more)
    folder.run("copy-log", folder.address, there)
    replayed = without_positions(folder.run("replay"))
    assert without_positions(starling("replay", "--data", there).stdout.decode()) == replayed
    assert starling("events", "verify", "--data", there).returncode == 0
    second = Folder(tmp_path / "second", event_store_address(node))
    second.run("copy-log", there, second.address)
    assert without_positions(second.run("replay")) == replayed
    # A log that went another way is no copy any more, and is left as it is.
    other = starling("import", "-", "--data", there, stdin=more.replace(b"p2", b"p3"))
    assert other.returncode == 0, other.stderr
    refused = starling("copy-log", folder.address, there, "--data", folder.path)
    assert refused.returncode == 1
    assert b"no copy of FROM" in refused.stderr
