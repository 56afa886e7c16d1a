"""Mutated files of Starling's own formats: one line and a status, nothing half done."""

import json
import random
import traceback
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infra.cli.main import main
from infra.duckdb import parquet_copy
from tests.support.mutations import BYTE_MUTATIONS, LINE_MUTATIONS, mutate
from tests.support.soak import seeds

FILES = (6, 350)
"""Mutated files a door: in `make test`, in `make soak`."""


def run(*arguments: str | Path) -> Result:
    """The program with these arguments, in this process: a start takes longer."""
    return CliRunner().invoke(main, list(map(str, arguments)))


def world_lines() -> bytes:
    """Lines of `starling import` with every command."""
    lines: list[dict[str, object]] = [
        {"command": "register", "key": "a", "at": "2024-05-01T12:00:00Z",
         "data": {"handle": "ada", "name": "Ada ☃", "bio": "b"}},
        {"command": "register", "key": "b", "data": {"handle": "bob", "name": "Bob"}},
        {"command": "change_profile", "as": "@bob", "data": {"bio": "x\ny"}},
        {"command": "post", "as": "@ada", "key": "p", "data": {"text": 'Hi #cats @bob "☃" \\'}},
        {"command": "comment", "as": "@bob", "key": "c", "data": {"post": "key:p", "text": "yes"}},
        {"command": "edit_post", "as": "@ada", "data": {"post": "key:p", "text": "Hi #dogs"}},
        {"command": "like", "as": "@bob", "data": {"post": "key:p"}},
        {"command": "unlike", "as": "@bob", "data": {"post": "key:p"}},
        {"command": "retweet", "as": "@bob", "data": {"post": "key:p"}},
        {"command": "unretweet", "as": "@bob", "data": {"post": "key:p"}},
        {"command": "follow", "as": "@bob", "data": {"user": "@ada"}},
        {"command": "mute", "as": "@ada", "data": {"user": "@bob"}},
        {"command": "unmute", "as": "@ada", "data": {"user": "@bob"}},
        {"command": "dismiss_recommendation", "as": "@ada", "data": {"user": "@bob"}},
        {"command": "bookmark", "as": "@bob", "data": {"post": "key:p"}},
        {"command": "unbookmark", "as": "@bob", "data": {"post": "key:p"}},
        {"command": "pin", "as": "@ada", "data": {"post": "key:p"}},
        {"command": "unpin", "as": "@ada", "data": {"post": "key:p"}},
        {"command": "follow_hashtag", "as": "@ada", "data": {"tag": "dogs"}},
        {"command": "unfollow_hashtag", "as": "@ada", "data": {"tag": "dogs"}},
        {"command": "read_notifications", "as": "@ada", "data": {"through": 7}},
        {"command": "dismiss_notifications", "as": "@ada", "data": {"first": 0, "last": 7}},
        {"command": "mute_conversation", "as": "@ada", "data": {"post": "key:c"}},
        {"command": "unmute_conversation", "as": "@ada", "data": {"post": "key:c"}},
        {"command": "create_filter", "as": "@ada", "key": "f1", "data": {
            "title": "x", "contexts": ["home"], "keywords": [{"text": "a"}]}},
        {"command": "change_filter", "as": "@ada", "data": {"filter": "key:f1", "title": "y"}},
        {"command": "delete_filter", "as": "@ada", "data": {"filter": "key:f1"}},
        {"command": "create_list", "as": "@ada", "key": "l1", "data": {"title": "Friends"}},
        {"command": "add_list_member", "as": "@ada", "data": {"list": "key:l1", "user": "@bob"}},
        {"command": "block", "as": "@ada", "data": {"user": "@bob"}},
        {"command": "unblock", "as": "@ada", "data": {"user": "@bob"}},
        {"command": "delete_post", "as": "@bob", "data": {"post": "key:c"}},
        {"command": "post", "as": "@bob", "at": "2024-05-02T12:00:00Z", "data": {"text": "late"}},
    ]  # fmt: skip
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with those commands done."""
    folder = tmp_path_factory.mktemp("world")
    given = folder / "lines"
    given.write_bytes(world_lines())
    assert run("import", given, "--data", folder / "data").exit_code == 0
    return folder / "data"


def require_handled(done: Result, seed: int) -> None:
    """0, or 1 or 2 with one line."""
    failed = done.exception
    if failed is not None and not isinstance(failed, SystemExit):
        pytest.fail(f"mutation {seed}: {''.join(traceback.format_exception(failed))[-3000:]}")
    assert done.exit_code in (0, 1, 2), seed
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if done.exit_code == 1:
        assert len(said) == 1, (seed, said)
        assert len(said[0]) < 1000, (seed, said)
        assert said[0].isprintable(), (seed, said)


def test_mutated_exports_are_restored_whole_or_refused_whole(world: Path, tmp_path: Path) -> None:
    good = run("replay", "--data", world).stdout_bytes
    assert good.count(b"\n") > 15
    for seed in seeds(*FILES):
        given, into = tmp_path / "export.jsonl", tmp_path / f"into-{seed}"
        given.write_bytes(mutate(good, seed))
        done = run("restore", given, "--data", into)
        require_handled(done, seed)
        if done.exit_code:
            assert not (into / "log.sqlite").exists(), seed
            assert "line " in done.stderr, (seed, done.stderr)
        else:
            written = run("replay", "--data", into).stdout_bytes
            assert all(json.loads(line) for line in written.splitlines()), seed
            verified = run("events", "verify", "--data", into)
            assert verified.exit_code == 0, (seed, verified.output)


def test_mutated_imports_are_answered_line_by_line(tmp_path: Path) -> None:
    good = world_lines()
    for seed in seeds(*FILES):
        given, into = tmp_path / "commands.ndjson", tmp_path / f"into-{seed}"
        changed = mutate(good, seed)
        given.write_bytes(changed)
        done = run("import", given, "--data", into)
        require_handled(done, seed)
        answers = [json.loads(line) for line in done.stdout_bytes.splitlines()]
        wanted = [line for line in changed.split(b"\n") if line.strip()]
        assert len(answers) == len(wanted), seed
        assert all(answer["status"] < 500 for answer in answers), seed
        assert run("events", "verify", "--data", into).exit_code == 0, seed


@pytest.mark.parametrize("form", ["jsonl", "csv", "cloudevents", "parquet"])
def test_a_replay_goes_on_from_a_mutated_export_or_says_what_to_do(
    form: str, world: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole" / "export"
    assert run("replay", "--data", world, "--format", form, "-o", whole).exit_code == 0
    good = {
        path.relative_to(tmp_path / "whole"): path.read_bytes()
        for path in sorted((tmp_path / "whole").rglob("*"))
        if path.is_file()
    }
    for seed in seeds(4, 80):
        rng, folder = random.Random(seed), tmp_path / f"trial-{seed}"
        damaged = rng.choice(sorted(name for name, data in good.items() if data))
        for name, data in good.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            mutations = LINE_MUTATIONS if form != "parquet" else BYTE_MUTATIONS
            changed = mutate(data, seed, mutations) if name == damaged else data
            (folder / name).write_bytes(changed)
        more = folder / "export"
        require_handled(run("replay", "--data", world, "--format", form, "-o", more), seed)


def test_questions_are_answered_beside_a_mutated_copy(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_copy, "MAX_TAIL_EVENTS", 0)
    question = ("sql", "SELECT count(*) n, max(text) t FROM events", "--json", "--data", world)
    answer = run(*question).stdout_bytes
    for seed in seeds(5, 120):
        rng = random.Random(seed)
        files = sorted(p for p in (world / "analytics").rglob("*") if p.is_file())
        damaged = rng.choice([p for p in files if p.stat().st_size])
        damaged.write_bytes(mutate(damaged.read_bytes(), seed, BYTE_MUTATIONS))
        done = run(*question)
        require_handled(done, seed)
        if done.exit_code == 1 and "ask again" in done.stderr:
            done = run(*question)
        assert (done.exit_code, done.stdout_bytes) == (0, answer), (seed, damaged, done.stderr)
