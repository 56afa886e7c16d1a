"""Fetching Kafka's jars, with a Maven that only pretends."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.dev.kafka_broker import fetch_jars, find_java
from infra.dev.local_engine import EngineMissing

MAVEN = """#!/bin/sh
echo run >> {folder}/runs
for argument in "$@"; do
  case "$argument" in -DoutputDirectory=*) out="${{argument#*=}}" ;; esac
done
{sleep} 0.3
{mkdir} -p "$out" && echo jar > "$out/kafka.jar" && exit {status}
"""


def pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, status: int = 0) -> Path:
    """A Maven that counts its runs and leaves a jar."""
    tools = folder / "tools"
    tools.mkdir()
    script = MAVEN.format(
        folder=folder, status=status, sleep=shutil.which("sleep"), mkdir=shutil.which("mkdir")
    )
    (tools / "mvn").write_text(script)
    (tools / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    return folder / "jars"


def test_jars_are_fetched_once_however_many_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pretend(tmp_path, monkeypatch)
    with ThreadPoolExecutor(3) as pool:
        jars = set(pool.map(fetch_jars, [folder] * 3))
    assert len(jars) == 1
    assert [jar.name for jar in jars.pop().iterdir()] == ["kafka.jar"]
    assert (tmp_path / "runs").read_text().count("run") == 1


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pretend(tmp_path, monkeypatch, status=1)
    with pytest.raises(EngineMissing, match="Maven could not bring Kafka"):
        fetch_jars(folder)
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_without_maven_or_java_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(EngineMissing, match="apt-get install maven"):
        fetch_jars(tmp_path)
    with pytest.raises(EngineMissing, match="openjdk-17-jre-headless"):
        find_java()
