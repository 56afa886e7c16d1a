"""What the guides tell people to type works, word for word, on a real server."""

import ast
import asyncio
import os
import re
from pathlib import Path

import httpx
import pytest

from api.http.errors import ProblemResponse, RequestRefused, unauthorized
from api.http.problems import PROBLEM_MEANINGS
from commands.errors import InvalidInput, NotAllowed, NotFound, StateConflict, WriteContention
from infra.dev import demo_world
from tests.support.requirements import REPOSITORY
from tests.support.running_server import serving_process
from tests.support.starling_program import STARLING, starling_environment
from tests.support.waiting import PATIENCE_SECONDS

SERVER = re.compile(r"^API=\S+$", re.MULTILINE)
"""Where the guides' server is; the test has its own, elsewhere."""

REFUSALS = {
    refusal.__name__
    for refusal in (
        RequestRefused, unauthorized, InvalidInput, NotFound, NotAllowed, StateConflict,
        WriteContention, ProblemResponse,
    )
}  # fmt: skip
"""What is called with the code of a problem among its first two arguments."""


def session(guide: str) -> str:
    """The blocks of shell commands in a guide, one after the other."""
    text = (REPOSITORY / guide).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert blocks, f"{guide} has no commands"
    return SERVER.sub("", "\n".join(blocks))


async def run(script: str, folder: Path, data: Path, url: str) -> str:
    """What a session prints; every command in it must succeed."""
    path = f"{STARLING.parent}:{os.environ['PATH']}"
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        script,
        cwd=folder,
        env=starling_environment(STARLING_DATA=str(data), API=url, PATH=path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await asyncio.wait_for(shell.communicate(), 60))[0].decode()
    assert shell.returncode == 0, output
    return output


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def assert_run_again(output: str) -> None:
    """All that a second run of a session is refused are the two registrations."""
    assert "Traceback" not in output
    assert re.findall(r"/problems/([a-z-]+)", output) == ["email-taken"] * 2


async def test_the_readmes_first_session(tmp_path: Path, data: Path) -> None:
    async with serving_process("--demo", "--data", data) as (_, url):
        output = await run(session("README.md"), tmp_path, data, url)
        again = await run(session("README.md"), tmp_path, data, url)
    assert "/problems/" not in output
    post = "Hello from the log #MurmurationTonight"
    assert output.count(post) == 2  # made, and read in Bob's timeline
    assert '"tag":"murmurationtonight"' in output.splitlines()[-1]
    assert_run_again(again)
    assert again.count(post) == 3


async def test_the_guides_for_clients(tmp_path: Path, data: Path) -> None:
    whole = f"{session('docs/clients.md')}\n{session('docs/personal.md')}"
    async with serving_process("--demo", "--data", data) as (_, url):
        output = await run(whole, tmp_path, data, url)
        assert_run_again(await run(whole, tmp_path, data, url))
    assert "/problems/" not in output
    assert [line.count('"status":20') for line in output.splitlines() if '"status"' in line] == [
        1, 1, 1,
    ]  # fmt: skip
    assert '"text":"Met at the quay."' in output.splitlines()[-1]


async def test_the_guide_for_operators(tmp_path: Path, data: Path) -> None:
    async with serving_process("--demo", "--data", data) as (_, url):
        output = await run(session("docs/operations.md"), tmp_path, data, url)
    assert output.count("the log is whole") == 2
    async with (
        serving_process("--data", tmp_path / "copy") as (_, url),
        httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client,
    ):
        robin = {"handle": demo_world.DEMO_HANDLE, "password": demo_world.DEMO_PASSWORD}
        assert (await client.post(f"{url}/v1/sessions", json=robin)).status_code == 201


def codes(file: Path) -> set[str]:
    """The codes of problems that a module refuses with."""
    calls = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))
    return {
        argument.value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in REFUSALS
        for argument in call.args[:2]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        if re.fullmatch(r"[a-z]+(-[a-z]+)*", argument.value)
    }


def test_the_guide_for_clients_knows_every_type_of_problem() -> None:
    files = [*REPOSITORY.glob("api/**/*.py"), *REPOSITORY.glob("commands/*.py")]
    known = set[str]().union(*map(codes, files))
    assert len(known) > 40
    guide = (REPOSITORY / "docs/clients.md").read_text(encoding="utf-8")
    assert {code for code in known if f"`{code}`" not in guide} == set()
    assert known - PROBLEM_MEANINGS.keys() == set()
    assert {code for code in PROBLEM_MEANINGS if f"`{code}`" not in guide} == set()
