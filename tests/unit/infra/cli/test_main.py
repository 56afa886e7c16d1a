"""The program's commands in this process: help, usage, small answers."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from api.accounts.access_tokens import SCOPES
from infra.cli import token
from infra.cli.main import main
from infra.log_of_record import open_log
from infra.settings import Settings


def starling(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, (*path, name))


@pytest.mark.parametrize("path", list(commands(main, ())), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    result = starling(*path, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()[2]) > 10
    assert not re.search(r"\w\.\.\.$", result.output.partition("\n\n")[2], re.MULTILINE), (
        "cut short"
    )
    is_group = "COMMAND" in result.output.splitlines()[0]
    assert is_group or f"Example: starling {' '.join(path)}" in result.output


def test_help_imports_nothing_heavy() -> None:
    heavy = {
        "aiohttp",
        "asyncio",
        "fastapi",
        "msgspec",
        "numpy",
        "pydantic",
        "regex",
        "rich",
        "sqlite3",
    }
    script = "import sys, infra.cli.main; print(*sorted(m.split('.')[0] for m in sys.modules))"
    imported = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    ).stdout.split()
    assert set(imported) & heavy == set()


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [("aiohttp", ("simulate",)), ("duckdb", ("sql", "SELECT 1")), ("pyarrow", ("sql", "SELECT 1"))],
)
def test_a_command_whose_packages_are_missing_says_how_to_get_them(
    missing: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """`make run` installs the server alone."""
    with open_log(Settings(data=tmp_path)):
        pass
    script = (
        f"import sys; sys.modules['{missing}'] = None; sys.argv[0] = 'starling'\n"
        "from infra.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        check=False,
        env={"STARLING_DATA": str(tmp_path), "PATH": os.environ["PATH"]},
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert re.fullmatch(
        rf"starling: this needs {missing}: 'make setup' .* '\.\[(simulate|analysis)\]'\n",
        done.stderr.decode(),
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("fly",),
        ("ids", "decode"),
        ("ids", "decode", "12x"),
        ("ids", "decode", "٣"),
        ("ids", "decode", "9223372036854775808"),
        ("ids", "decode", "9" * 4400),
        ("projections", "skip", "posts", "9" * 4400),
        ("projections", "skip", "posts", "9223372036854775808"),
        ("dlq", "inspect", "posts", "9" * 4400),
        ("projections", "show", "posts", "--limit", "9223372036854775808"),
        ("ids", "next", "--count", "0"),
        ("token",),
        ("token", "@robin", "--scope", "root"),
        ("simulate", "--users", "1"),
        ("simulate", "--url", "ftp://localhost"),
        ("simulate", "--url", "http://example.org:8000"),
    ],
    ids=lambda arguments: " ".join(arguments)[:60],
)
def test_wrong_usage_ends_with_2_and_nothing_on_stdout(arguments: tuple[str, ...]) -> None:
    result = starling(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr


def test_decoding_an_id_prints_its_parts() -> None:
    result = starling("ids", "decode", "266031293945503744", "--json")
    (row,) = json.loads(result.stdout)
    assert row["id"] == "266031293945503744"
    assert row["time"] == "2012-11-07T04:16:17.756Z"
    assert (row["machine"], row["sequence"]) == (38, 0)


def test_a_table_names_its_columns() -> None:
    result = starling("ids", "decode", "1", "2")
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert lines[0] == ["id", "time", "machine", "sequence"]
    assert [line[0] for line in lines[2:]] == ["1", "2"]


def test_wrong_settings_are_one_line_and_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STARLING_PORT", "many")
    result = starling("ids", "next", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "starling: STARLING_PORT must be a whole number, 0-65535, not 'many'"
    ]


def test_the_scopes_offered_are_the_ones_of_the_api() -> None:
    assert token.SCOPES == SCOPES
