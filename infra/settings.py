"""Settings: the environment read once, checked, and passed on as a value.

Nothing else reads the environment. Options of the command line win over it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


def limit_numpy_threads() -> None:
    """For this process and those that it starts; before NumPy is imported.

    NumPy's linear algebra, which nothing here uses, would start a thread for each core, and they
    spin for a tenth of a second in every process.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


class InvalidSetting(Exception):
    """A setting that can't be meant; the message names it and says what would do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can choose. The names of the environment are in `docs/operations.md`."""

    data: Path = Path("data")
    """Folder of the log, the views and the rings."""
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    """API processes."""
    log: str = "sqlite"
    """`sqlite`, or the address of an EventStoreDB: `esdb://host:2113?tls=false`."""
    views: str = "sqlite"
    """`sqlite`, or the address of a MongoDB: `mongodb://...`."""
    kafka: str | None = None
    """Bootstrap servers; set, the relay publishes and Faust workers project."""
    secret: str | None = None
    """What signs tokens; None for the one kept in the data folder."""

    def to_environment(self) -> dict[str, str]:
        """This process's environment, from which another one reads the same settings."""
        return dict(os.environ) | {
            "STARLING_DATA": str(self.data.absolute()),
            "STARLING_HOST": self.host,
            "STARLING_PORT": str(self.port),
            "STARLING_WORKERS": str(self.workers),
            "STARLING_LOG": self.log,
            "STARLING_VIEWS": self.views,
            "STARLING_KAFKA": self.kafka or "",
            "STARLING_SECRET": self.secret or "",
        }

    @property
    def mongodb(self) -> str | None:
        """The address of the MongoDB that holds the views; None where they are in SQLite."""
        return None if self.views == "sqlite" else self.views

    @property
    def log_file(self) -> Path:
        """The log of record."""
        return self.data / "log.sqlite"

    @property
    def accounts_file(self) -> Path:
        """Emails and password hashes, which never enter the log."""
        return self.data / "accounts.sqlite"

    @property
    def rate_limits_file(self) -> Path:
        """How often passwords were tried of late. Disposable."""
        return self.data / "rate-limits.sqlite"

    @property
    def leases_file(self) -> Path:
        """Who uses which machine id."""
        return self.data / "leases.sqlite"

    @property
    def views_folder(self) -> Path:
        """One database for each projection and version, and which of them are current."""
        return self.data / "views"

    @property
    def status_page_file(self) -> Path:
        """The page by which the projector tells API processes what is new."""
        return self.data / "status-page"

    @property
    def analytics_folder(self) -> Path:
        """A copy of the log in Parquet, for `starling sql`. Disposable."""
        return self.data / "analytics"

    @property
    def snapshots_folder(self) -> Path:
        """Views as they were, for questions about the past. Disposable."""
        return self.data / "snapshots"

    @property
    def engines_folder(self) -> Path:
        """The Kafka and the MongoDB that `starling up` starts here."""
        return self.data / "engines"

    @property
    def process_logs_folder(self) -> Path:
        """What the processes of `starling up` say."""
        return self.data / "logs"

    @property
    def stack_file(self) -> Path:
        """Which processes `starling up` started."""
        return self.data / "up.json"

    @property
    def rings_folder(self) -> Path:
        """Home timelines of active readers."""
        return self.data / "home"


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that an environment asks for. Raises `InvalidSetting`."""
    default = Settings()
    return validate_settings(
        Settings(
            data=Path(environment.get("STARLING_DATA") or default.data),
            host=environment.get("STARLING_HOST") or default.host,
            port=_read_number(environment, "STARLING_PORT", default.port),
            workers=_read_number(environment, "STARLING_WORKERS", default.workers),
            log=environment.get("STARLING_LOG") or default.log,
            views=environment.get("STARLING_VIEWS") or default.views,
            kafka=environment.get("STARLING_KAFKA") or None,
            secret=environment.get("STARLING_SECRET") or None,
        )
    )


def validate_settings(settings: Settings) -> Settings:
    """The same settings, if every one of them can be meant. Raises `InvalidSetting`."""
    if not 0 <= settings.port <= 65535:
        raise InvalidSetting(f"the port (STARLING_PORT) must be 0-65535, not {settings.port}")
    if not 1 <= settings.workers <= 64:
        raise InvalidSetting(f"workers (STARLING_WORKERS) must be 1-64, not {settings.workers}")
    _check_address("STARLING_LOG", settings.log, "esdb")
    _check_address("STARLING_VIEWS", settings.views, "mongodb")
    if settings.secret is not None and len(settings.secret) < 16:
        raise InvalidSetting("STARLING_SECRET must have at least 16 characters")
    return settings


def _read_number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name)
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise InvalidSetting(f"{name} must be a whole number, not {text!r}") from None


def _check_address(name: str, value: str, scheme: str) -> None:
    if value != "sqlite" and urlsplit(value).scheme != scheme:
        # The value may hold a password: it is not repeated here.
        raise InvalidSetting(f"{name} must be 'sqlite' or an address that begins with {scheme}://")
