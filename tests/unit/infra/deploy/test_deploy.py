"""What `infra/deploy/` names is there: commands, files, settings, addresses."""

import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from api.live.hub import HEARTBEAT
from infra import settings
from infra.cli.main import main
from streams.feed.kafka_address import KafkaAddress
from tests.support.requirements import REPOSITORY

DEPLOY = REPOSITORY / "infra" / "deploy"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return dict(compose["services"])


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The folder that `make-secrets` makes, beside a copy of it."""
    program = tmp_path / "make-secrets"
    shutil.copy(DEPLOY / "make-secrets", program)
    subprocess.run([program], check=True)
    return tmp_path / "secrets"


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
    containers: dict[str, Any], secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for service in containers.values():
        for name, value in service["environment"].items():
            monkeypatch.setenv(name, value.replace("/run/secrets", str(secrets)))
        assert settings.unknown_variables() == []
        chosen = settings.from_environment()
        kafka = KafkaAddress.parse(chosen.kafka or "")
        assert (kafka.servers, kafka.user, len(kafka.password)) == (("kafka:9092",), "starling", 64)
        assert chosen.mongodb == chosen.views
        assert re.match(r"mongodb://starling:[0-9a-f]{64}@mongodb:27017/", chosen.views)


def test_secrets_are_made_once_in_a_folder_of_the_user_alone(
    compose: dict[str, Any], secrets: Path
) -> None:
    def contents() -> dict[str, str]:
        return {file.name: file.read_text() for file in secrets.iterdir()}

    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    made = contents()
    for name, source in compose["secrets"].items():
        assert source == {"file": f"./secrets/{name}"}
        assert made[name]
    random = [text for name, text in made.items() if re.search("password|keyfile|admin", name)]
    assert len(set(random)) == len(random) == 5
    subprocess.run([secrets.parent / "make-secrets"], check=True)
    assert contents() == made


def test_no_container_has_a_secret_in_its_environment_or_its_command(
    services: dict[str, Any],
) -> None:
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or value.startswith("/run/secrets/")
            assert "@" not in value
        assert "--demo" not in service.get("command", ())


def test_every_container_is_pinned_hardened_watched_and_started_again(
    services: dict[str, Any],
) -> None:
    for name, service in services.items():
        if service["image"] != "starling":
            assert re.fullmatch(r"[\w/]+:\d+\.\d+\.\d+(-jammy)?", service["image"]), name
            assert service["user"].split(":")[0] not in ("root", "0")
            assert service["healthcheck"]["test"]
        assert service["restart"] == "unless-stopped"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not service.get("healthcheck", {}).get("disable")
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")
    for base in re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE):
        assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base)


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


def test_the_balancer_waits_longer_than_live_streams_are_quiet() -> None:
    configuration = (DEPLOY / "haproxy.cfg").read_text()
    patience = {
        name: int(seconds)
        for name, seconds in re.findall(r"timeout (client|server) +(\d+)s\n", configuration)
    }
    assert patience.keys() == {"client", "server"}
    assert min(patience.values()) > 2 * HEARTBEAT
    assert re.search(r"timeout tunnel +\d+h\n", configuration)


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
