"""What `infra/deploy/` names is there: commands, files, settings, addresses."""

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from infra import settings
from infra.cli.main import main
from tests.support.requirements import REPOSITORY

DEPLOY = REPOSITORY / "infra" / "deploy"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    compose: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return dict(compose["services"])


@pytest.fixture(scope="module")
def containers(services: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in services.items() if each["image"] == "starling"}


def test_every_container_of_ours_runs_a_command_that_exists(
    containers: dict[str, Any],
) -> None:
    assert set(containers) == {"relay", "worker", "api1", "api2"}
    for service in containers.values():
        name, *arguments = service["command"]
        command = main.commands[name]
        command.make_context(name, list(arguments))
        assert isinstance(command, click.Command)


def test_containers_are_given_settings_that_can_be_meant(
    containers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for service in containers.values():
        for name, value in service["environment"].items():
            monkeypatch.setenv(name, value)
        assert settings.unknown_variables() == []
        chosen = settings.from_environment()
        assert chosen.kafka is not None
        assert chosen.mongodb == chosen.views
        assert chosen.views.startswith("mongodb://")


def test_containers_that_need_the_log_share_its_volume(containers: dict[str, Any]) -> None:
    sharing = {name for name, each in containers.items() if "data:/data" in each.get("volumes", ())}
    assert sharing == {"relay", "api1", "api2"}


def test_the_balancer_is_given_all_that_its_configuration_asks_for(
    services: dict[str, Any],
) -> None:
    asked = set(re.findall(r'"\$\{(\w+)\}"', (DEPLOY / "haproxy.cfg").read_text()))
    given = services["haproxy"]["environment"]
    assert asked == set(given)
    for name in asked - {"STARLING_FRONT"}:
        host, port = given[name].split(":")
        assert host in services
        assert port == "8000"


def test_mongodb_gets_the_same_options_as_the_one_that_up_starts(services: dict[str, Any]) -> None:
    command = services["mongodb"]["command"]
    here = (REPOSITORY / "infra" / "dev" / "mongodb_server.py").read_text()
    for parameter in re.findall(r'"(transaction\w+=\w+)"', here):
        assert command[command.index(parameter) - 1] == "--setParameter"
    assert "transactionLifetimeLimitSeconds=10" in command


def test_the_image_copies_what_exists_and_every_package_of_ours() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    copied = {Path(name) for line in lines for name in line.split()}
    assert [path for path in copied if not (REPOSITORY / path).exists()] == []
    packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")} - {"tests"}
    assert packages <= {str(path) for path in copied}
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert {f"!{path.parts[0]}" for path in copied} <= set(kept)


def test_the_image_does_not_run_as_root() -> None:
    last = (DEPLOY / "Dockerfile").read_text().rpartition("FROM ")[2]
    assert re.search(r"^USER (?!root|0)\w+$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
