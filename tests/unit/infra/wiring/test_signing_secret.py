"""The secret that tokens are signed with, on a real data folder."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.settings import InvalidSetting, Settings
from infra.wiring.signing_secret import signing_secret


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


def test_machines_that_share_a_log_need_a_secret_of_their_own_choice(settings: Settings) -> None:
    shared = Settings(
        data=settings.data, log="esdb://localhost:2113", views="mongodb://localhost/starling"
    )
    with pytest.raises(InvalidSetting, match="STARLING_SECRET"):
        signing_secret(shared)
    assert signing_secret(shared.model_copy(update={"secret": "x" * 32})) == b"x" * 32


def test_the_secret_is_made_once_and_readable_by_its_owner_alone(settings: Settings) -> None:
    secret = signing_secret(settings)
    assert signing_secret(settings) == secret
    assert len(secret) >= 32
    assert stat.S_IMODE((settings.data / "secret").stat().st_mode) == 0o600
    assert [path.name for path in settings.data.iterdir()] == ["secret"]


def test_concurrent_processes_get_the_same_secret(settings: Settings) -> None:
    with ThreadPoolExecutor(16) as threads:
        secrets = set(threads.map(signing_secret, [settings] * 64))
    assert len(secrets) == 1


def test_a_secret_in_the_settings_wins_and_makes_no_file(settings: Settings) -> None:
    chosen = Settings(data=settings.data, secret="a secret of the operator's")
    assert signing_secret(chosen) == b"a secret of the operator's"
    assert not settings.data.exists()
