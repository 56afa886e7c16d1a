"""What the processes of a server write to stderr."""

import asyncio
import json
import os
import re
import signal
import socket
from pathlib import Path

import httpx
import psutil

from tests.support.running_server import GREETING
from tests.support.starling_program import STARLING, starling_environment
from tests.support.waiting import PATIENCE_SECONDS


async def test_in_json_every_line_of_every_process_is_a_record(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = await asyncio.create_subprocess_exec(
        STARLING, "serve", "--port", "0", "--data", data, "--demo",
        stderr=asyncio.subprocess.PIPE,
        env=starling_environment(STARLING_LOG_FORMAT="json", STARLING_UNKNOWN="1"),
    )  # fmt: skip
    assert server.stderr is not None
    lines: list[bytes] = []
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in server.stderr:
                lines.append(line)
                if re.search(GREETING, line.decode()):
                    break
            # Neither process can start again, and both say why: the log is no database any more.
            for name in ("log.sqlite", "log.sqlite-wal"):
                (data / name).write_bytes(os.urandom(200_000))
            for child in psutil.Process(server.pid).children():
                child.send_signal(signal.SIGKILL)
            async for line in server.stderr:
                lines.append(line)
                killed = any(b"killed by signal 9" in each for each in lines)
                if killed and b'"level":"error","process":"api-' in line:
                    break
    finally:
        server.terminate()
        await server.communicate()
    records = [json.loads(line) for line in lines]
    assert {"time", "level", "process", "pid", "logger", "message"} <= records[0].keys()
    assert {record["process"] for record in records} >= {"server"}
    assert any("killed by signal 9" in record["message"] for record in records)
    assert any("STARLING_UNKNOWN is no setting" in record["message"] for record in records)
    assert any("made a demo world" in record["message"] for record in records)
    failed = records[-1]
    assert failed["process"] == "api-1"
    assert "log.sqlite can't be used" in failed["message"]


async def test_a_worker_shows_metrics_on_a_port_of_its_own(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    worker = await asyncio.create_subprocess_exec(
        STARLING, "work", "--metrics-port", str(port), "--data", tmp_path,
        stderr=asyncio.subprocess.PIPE, env=starling_environment(),
    )  # fmt: skip
    try:
        async with httpx.AsyncClient(timeout=None) as client, asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
                except httpx.ConnectError:
                    await asyncio.sleep(0.1)
                    continue
                if 'starling_projection_position{partition="0",projection="posts"} 0.0' in text:
                    break
        assert 'starling_process_start_time_seconds{process="projector-1"}' in text
        second = await asyncio.create_subprocess_exec(
            STARLING, "work", "--metrics-port", str(port), "--data", tmp_path / "other",
            stderr=asyncio.subprocess.PIPE, env=starling_environment(),
        )  # fmt: skip
        _, said = await second.communicate()
        assert (second.returncode, said) == (
            1, f"starling: port {port} on 127.0.0.1 (STARLING_METRICS_PORT) is taken\n".encode(),
        )  # fmt: skip
    finally:
        worker.terminate()
        await worker.communicate()
