"""What settings are read from, what they refuse and in which words, and what children are given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.settings import InvalidSetting, Settings, from_environment, unknown_variables

SECRET = "a secret of sixteen letters"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith("STARLING_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write_env_file(*lines: str) -> None:
    Path(".env").write_text("\n".join(lines), encoding="utf-8")


def test_an_empty_environment_gives_the_defaults() -> None:
    chosen = from_environment()
    assert (chosen.data, chosen.host, chosen.port, chosen.workers) == (
        Path("data"), "127.0.0.1", 8000, 1,
    )  # fmt: skip
    assert (chosen.log, chosen.views, chosen.mongodb, chosen.kafka) == (
        "sqlite", "sqlite", None, None,
    )  # fmt: skip
    assert (chosen.secret, chosen.fast_path, chosen.limits) == (None, True, True)
    assert (chosen.mongo_driver, chosen.base_url) == ("motor", "http://127.0.0.1:8000")


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_env_file("STARLING_HOST=file", "STARLING_PORT=1", "STARLING_WORKERS=2", "OTHER=x")
    monkeypatch.setenv("STARLING_HOST", "environment")
    monkeypatch.setenv("STARLING_PORT", "3")
    monkeypatch.setenv("STARLING_DATA", "there")
    chosen = from_environment(port=4, data=None)
    assert (chosen.host, chosen.port, chosen.workers) == ("environment", 4, 2)
    assert chosen.data == Path("there")


def test_an_empty_variable_stands_for_the_default_whatever_the_file_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_env_file("STARLING_KAFKA=kafka:9092")
    assert from_environment().kafka == "kafka:9092"
    monkeypatch.setenv("STARLING_KAFKA", "")
    assert from_environment().kafka is None


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("PORT", "many", "STARLING_PORT must be a whole number, 0-65535, not 'many'"),
        ("PORT", "65536", "STARLING_PORT must be a whole number, 0-65535, not '65536'"),
        ("WORKERS", "0", "STARLING_WORKERS must be a whole number, 1-64, not '0'"),
        ("FAST_PATH", "maybe", "STARLING_FAST_PATH must be on or off, not 'maybe'"),
        (
            "MEDIA",
            "ftp://example.org/images",
            "STARLING_MEDIA must be a folder or s3://bucket?endpoint=..., without a password",
        ),
        (
            "MEDIA",
            "s3://images?endpiont=https://s3.example.org",
            "STARLING_MEDIA takes endpoint and region behind the '?', not 'endpiont'",
        ),
        ("LIMITS", "2", "STARLING_LIMITS must be on or off, not '2'"),
        ("MONGO_DRIVER", "mongo", "STARLING_MONGO_DRIVER must be motor or pymongo, not 'mongo'"),
        ("SECRET", "hunter2", "STARLING_SECRET must have at least 16 characters"),
        (
            "VIEWS",
            "postgres://robin:hunter2@host",
            "STARLING_VIEWS must be 'sqlite' or an address that begins with mongodb://",
        ),
        (
            "LOG",
            "http://robin:hunter2@host",
            "STARLING_LOG must be 'sqlite' or an address that begins with esdb:// or kurrentdb://",
        ),
        (
            "BASE_URL",
            "starling.example.org",
            "STARLING_BASE_URL must be an address such as https://starling.example.org",
        ),
        (
            "BASE_URL",
            "https://robin:hunter2@host",
            "STARLING_BASE_URL must have no user, ? or #",
        ),
    ],
)
def test_a_value_that_cannot_be_meant_is_one_line_without_secrets(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    monkeypatch.setenv(f"STARLING_{name}", value)
    with pytest.raises(InvalidSetting) as refused:
        from_environment()
    assert str(refused.value) == line
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(("text", "on"), [("on", True), ("off", False), ("0", False)])
def test_switches_are_on_or_off(monkeypatch: pytest.MonkeyPatch, text: str, on: bool) -> None:
    monkeypatch.setenv("STARLING_FAST_PATH", text)
    monkeypatch.setenv("STARLING_LIMITS", text)
    chosen = from_environment()
    assert (chosen.fast_path, chosen.limits) == (on, on)


def test_nothing_secret_is_in_the_text_of_settings() -> None:
    chosen = Settings(secret=SECRET, views="mongodb://robin:hunter2@host", log="esdb://r:hunter2@h")
    assert "hunter2" not in f"{chosen} {chosen!r}"
    assert SECRET not in f"{chosen} {chosen!r}"


def test_a_secret_and_an_address_are_read_from_files(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text(f"{SECRET}\n", encoding="utf-8")
    Path("views").write_text("mongodb://robin:hunter2@host\n", encoding="utf-8")
    monkeypatch.setenv("STARLING_SECRET_FILE", "secret")
    monkeypatch.setenv("STARLING_VIEWS_FILE", "views")
    chosen = from_environment()
    assert (chosen.secret, chosen.mongodb) == (SECRET, "mongodb://robin:hunter2@host")
    given = chosen.to_environment()
    assert SECRET not in given.values()
    assert given["STARLING_SECRET_FILE"] == str(Path("secret").absolute())
    assert (given["STARLING_SECRET"], given["STARLING_VIEWS"]) == ("", "")


def test_a_file_of_a_secret_that_cannot_be_read_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STARLING_SECRET_FILE", "nowhere")
    with pytest.raises(InvalidSetting) as refused:
        from_environment()
    assert str(refused.value) == (
        "STARLING_SECRET_FILE: can't read nowhere: No such file or directory"
    )


def test_a_short_secret_in_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text("hunter2", encoding="utf-8")
    monkeypatch.setenv("STARLING_SECRET_FILE", "secret")
    with pytest.raises(InvalidSetting, match="STARLING_SECRET must have at least 16"):
        from_environment()


def test_a_secret_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    write_env_file(f"STARLING_SECRET={SECRET}")
    monkeypatch.setenv("STARLING_SECRET_FILE", "secret")
    with pytest.raises(InvalidSetting, match="are both set: give one"):
        from_environment()


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("127.0.0.1", 8000, "http://127.0.0.1:8000"),
        ("0.0.0.0", 81, "http://127.0.0.1:81"),
        ("::", 8000, "http://[::1]:8000"),
        ("::1", 8000, "http://[::1]:8000"),
        ("starling.example.org", 80, "http://starling.example.org"),
    ],
)
def test_absolute_urls_begin_with_where_the_api_listens(host: str, port: int, address: str) -> None:
    assert from_environment(host=host, port=port).base_url == address
    assert from_environment(port=0).listening_on(host, port).base_url == address


def test_a_chosen_address_stays_wherever_the_api_listens() -> None:
    chosen = from_environment(base_url="https://starling.example.org/feed/")
    assert chosen.base_url == "https://starling.example.org/feed"
    assert chosen.listening_on("127.0.0.1", 81) == chosen


def test_a_variable_that_is_no_setting_gets_a_line_and_a_guess(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_env_file("STARLING_PROT=1")
    monkeypatch.setenv("STARLING_WORKER", "2")
    monkeypatch.setenv("STARLING_SERVICE_HOST", "10.0.0.1")
    assert unknown_variables() == [
        "STARLING_PROT is no setting and is ignored; did you mean STARLING_PORT?",
        "STARLING_SERVICE_HOST is no setting and is ignored",
        "STARLING_WORKER is no setting and is ignored; did you mean STARLING_WORKERS?",
    ]


def test_another_process_reads_the_same_settings_and_no_file_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_env_file(f"STARLING_SECRET={SECRET}", "STARLING_KAFKA=kafka:9092", "STARLING_TYPO=1")
    monkeypatch.setenv("starling_port", "9")
    chosen = from_environment(
        kafka="other:9092", fast_path=False, mongo_driver="pymongo", base_url="https://x.example"
    )
    script = (
        "from infra import settings; found = settings.from_environment()\n"
        "print(found.model_dump(), settings.unknown_variables())"
    )
    write_env_file("STARLING_HOST=changed", "STARLING_TYPO=1")
    read = subprocess.run(
        [sys.executable, "-c", script],
        env=chosen.to_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected = chosen.model_copy(update={"data": chosen.data.absolute()})
    assert read.stdout == f"{expected.model_dump()} []\n"
