"""`starling ids serve` as a process, and processes that make ids of its blocks."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from events.ids.id_blocks import BlocksUnavailable
from events.ids.snowflake import decode_id
from infra.ids.id_server_client import IdServerClient
from infra.log_of_record import open_log
from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.wiring.id_sources import open_live_ids
from tests.support.asgi_servers import unused_port
from tests.support.starling_program import STARLING, starling, starling_environment


@contextmanager
def id_server(port: int, *options: str | Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """An id server that listens; killed at the end of the block."""
    command = [STARLING, "ids", "serve", "--port", str(port), *options]
    environment = starling_environment(**settings)
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert re.search(rf"handing out ids on http://127\.0\.0\.1:{port} ", line), line
            yield process
        finally:
            process.kill()


def take(client: IdServerClient, count: int) -> list[int]:
    now = clock_ms()
    return [block.number for block in client.take_blocks(count, "me", now, now + 60_000)]


def test_an_id_server_that_is_killed_goes_on_where_it_was_and_so_do_its_clients(
    tmp_path: Path,
) -> None:
    port, password = unused_port(), "quite a long password"
    protected = {"STARLING_ID_SERVER_PASSWORD": password}
    client = IdServerClient(f"http://127.0.0.1:{port}", password)
    with id_server(port, "--data", tmp_path, **protected):
        assert take(client, 3) == [1, 2, 3]
        with pytest.raises(BlocksUnavailable, match="says 401: the password is another"):
            take(IdServerClient(f"http://127.0.0.1:{port}"), 1)
    with pytest.raises(BlocksUnavailable, match="Connection refused"):
        take(client, 1)
    with id_server(port, "--data", tmp_path, **protected):
        assert take(client, 1) == [4]
    client.close()


def test_ids_by_an_id_server_a_block_server_tickets_and_snowflake_are_made_on_one_log(
    tmp_path: Path,
) -> None:
    above, below = unused_port(), unused_port()
    settings = Settings(data=tmp_path / "data", id_server=f"http://127.0.0.1:{below}")
    settings.make_data_folder()
    ids = []
    with (
        id_server(above, "--data", tmp_path / "ids"),
        id_server(below, "--above", f"http://127.0.0.1:{above}", "--data", tmp_path / "below"),
        open_log(settings) as log,
    ):
        for way in ("global", "tickets", "snowflake", "global"):
            chosen = settings.model_copy(update={"ids": way})
            with open_live_ids(chosen, log) as new_id:
                ids.append(new_id())
    assert not (tmp_path / "below").exists()
    assert ids == sorted(ids)
    assert [decode_id(id).machine // 256 for id in ids] == [3, 2, 0, 3]
    assert abs(decode_id(ids[0]).ms - clock_ms()) < 60_000


def test_without_its_id_server_a_process_ends_with_one_line(tmp_path: Path) -> None:
    def next_id(address: str = "") -> tuple[int, str]:
        done = starling(
            "ids", "next", "--data", tmp_path, STARLING_IDS="global", STARLING_ID_SERVER=address
        )
        return done.returncode, done.stderr.decode()

    status, said = next_id()
    assert (status, said.count("\n")) == (2, 1)
    assert "STARLING_ID_SERVER must name the id server" in said
    address = f"http://127.0.0.1:{unused_port()}"
    status, said = next_id(address)
    assert (status, said.count("\n")) == (1, 1)
    assert f"the id server at {address}: Connection refused" in said
