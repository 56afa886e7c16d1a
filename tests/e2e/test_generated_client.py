"""A client that `openapi-python-client` generates from the OpenAPI document compiles and works."""

import compileall
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_world import ApiWorld
from tests.support.running_server import PASSWORD, running_server

PACKAGE = "generated_starling_client"

SETTINGS = """\
post_hooks: []
content_type_overrides:
  application/x-ndjson: application/octet-stream
"""
"""As in docs/clients.md: the generator knows no media type of lines. Its hooks only format."""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the client, which can be imported as `PACKAGE`."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(json.dumps(ApiWorld().app.openapi()))
    (folder / "settings.yaml").write_text(SETTINGS)
    done = subprocess.run(
        [
            Path(sys.executable).parent / "openapi-python-client", "generate", "--meta", "none",
            "--path", "openapi.json", "--config", "settings.yaml", "--output-path", PACKAGE,
            "--fail-on-warning",
        ],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "WARNING" not in done.stdout + done.stderr, done.stdout
    assert done.returncode == 0, done.stderr
    sys.path.insert(0, str(folder))
    yield folder / PACKAGE
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def operation(tag: str, name: str) -> Any:
    """The module of an operation."""
    return importlib.import_module(f"{PACKAGE}.api.{tag}.{name}")


def test_every_operation_is_in_the_client_and_compiles(generated: Path) -> None:
    assert compileall.compile_dir(generated, quiet=2)
    paths = ApiWorld().app.openapi()["paths"].values()
    ids = {described["operationId"] for path in paths for described in path.values()}
    assert {file.stem for file in generated.glob("api/*/*.py")} - {"__init__"} == ids


def test_what_is_not_sent_is_no_null_in_the_client(generated: Path) -> None:
    post = (generated / "models" / "post.py").read_text()
    assert "reply_to: str | Unset = UNSET" in post
    home = (generated / "api" / "timelines" / "home_timeline.py").read_text()
    assert "max_id: str | Unset = UNSET" in home


def test_the_client_works(generated: Path, tmp_path: Path) -> None:
    client, models = importlib.import_module(PACKAGE), importlib.import_module(f"{PACKAGE}.models")
    with running_server(tmp_path / "data") as server:
        stranger = client.Client(server, raise_on_unexpected_status=True)
        new = models.NewUser(handle="ada", name="Ada", email="ada@x.org", password=PASSWORD)
        registered = operation("accounts", "register").sync(client=stranger, body=new)
        assert registered.handle == "ada"
        sign_in = models.SignIn(handle="ada", password=PASSWORD)
        token = operation("accounts", "sign_in").sync(client=stranger, body=sign_in).token
        ada = client.AuthenticatedClient(server, token, raise_on_unexpected_status=True)
        try:
            use_as_signed_in(stranger, ada, models)
        finally:
            for each in (stranger, ada):
                each.get_httpx_client().close()


def use_as_signed_in(stranger: Any, ada: Any, models: Any) -> None:
    """Commands, queries that see them, problems, and lines of commands."""
    body = models.NewPost(text="hello #world")
    created = operation("posts", "create_post").sync(client=ada, body=body)
    liked = operation("posts", "like_post").sync_detailed(created.id, client=ada)
    assert (liked.parsed.id, liked.parsed.liked) == (created.id, True)
    position = liked.headers["Starling-Position"]
    get_home = operation("timelines", "home_timeline")
    [post] = get_home.sync(client=ada, starling_position=position)
    assert (post.text, post.likes, post.liked) == ("hello #world", 1, True)
    assert isinstance(post.reply_to, importlib.import_module(f"{PACKAGE}.types").Unset)

    get_post = partial(operation("posts", "get_post").sync_detailed, starling_position=position)
    assert get_post(created.id, client=stranger).parsed.id == created.id  # no token is needed
    missing = get_post("123", client=ada)
    assert (missing.status_code, missing.parsed.type_) == (404, "/problems/post-not-found")
    assert isinstance(missing.parsed, models.Problem)
    refused = get_home.sync(client=stranger)
    assert (refused.status, refused.type_) == (401, "/problems/token-missing")
