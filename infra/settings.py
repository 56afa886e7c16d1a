"""Settings: read once from the environment and a `.env` file, checked, and passed on as a value.

Nothing else reads the environment. Options of the command line win over it, the environment wins
over `.env`. The table for operators is in `docs/operations.md`.
"""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.setting_checks import (
    EXPECTED_VALUES,
    check_base_url,
    check_id_server,
    check_kafka,
    check_log,
    check_mail_from,
    check_media,
    check_networks,
    check_rates,
    check_secret,
    check_smtp,
    check_tickets,
    check_views,
    setting_error,
    split_list,
)

ENV_PREFIX: Final = "STARLING_"
ENV_FILE: Final = ".env"
"""In the working directory."""

MongoDriver = Literal["motor", "pymongo"]
WayToMakeIds = Literal["snowflake", "tickets", "global"]

_FROM_FILES: Final = ("secret", "log", "views", "kafka", "tickets", "id_server_password", "smtp")
"""Settings that a file may hold: `STARLING_..._FILE` names it."""

_WILDCARD_HOSTS: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
"""A host that stands for every interface, and what reaches it from this machine."""


def show_metrics_folder(folder: Path) -> None:
    """Tell `prometheus_client` where this process keeps its figures: it asks the environment."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def traces_are_wanted() -> bool:
    """Whether the standard variables of OpenTelemetry name a collector for traces."""
    named = any(
        os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") for name in ("ENDPOINT", "TRACES_ENDPOINT")
    )
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return named and not off and os.environ.get("OTEL_TRACES_EXPORTER", "") != "none"


class InvalidSetting(Exception):
    """A setting that can't be meant; the message names it and says what would do."""


def _listening_address(host: str, port: int) -> str:
    reachable = _WILDCARD_HOSTS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{reachable}" if port == 80 else f"http://{reachable}:{port}"


class Settings(BaseSettings):
    """What an operator can choose: each field is the variable `STARLING_` and its name.

    An empty variable stands for the default. `from_environment` makes one line of what is wrong.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    data: Path = Path("data")
    """Folder of the log, the views and the rings."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    """API processes."""
    log: Annotated[str, AfterValidator(check_log)] = Field(default="sqlite", repr=False)
    """`sqlite`, or the address of an EventStoreDB: `esdb://host:2113?tls=false`."""
    log_file: Path | None = None
    """A file that holds `log`, for an address with a password."""
    views: Annotated[str, AfterValidator(check_views)] = Field(default="sqlite", repr=False)
    """`sqlite`, or the address of a MongoDB: `mongodb://...`."""
    views_file: Path | None = None
    """A file that holds `views`, for an address with a password."""
    kafka: Annotated[str | None, AfterValidator(check_kafka)] = Field(default=None, repr=False)
    """As `KafkaAddress` reads it; set, the relay publishes and Faust workers project."""
    kafka_file: Path | None = None
    """A file that holds `kafka`, for an address with a password."""
    secret: Annotated[str | None, AfterValidator(check_secret)] = Field(default=None, repr=False)
    """What signs tokens; None for the one kept in the data folder."""
    secret_file: Path | None = None
    """A file that holds `secret`."""
    base_url: Annotated[str, AfterValidator(check_base_url)] = Field(
        default_factory=lambda found: _listening_address(found["host"], found["port"])
    )
    """What absolute URLs begin with, without a slash at the end. Default: where the API listens."""
    fast_path: bool = True
    """Whether hot operations are answered before the framework sees them."""
    media: Annotated[str | None, AfterValidator(check_media)] = None
    """Where images are: a folder, or `s3://bucket?endpoint=...`. Default: in the data folder."""
    media_bytes: int = Field(default=5 << 20, ge=1000, le=100_000_000)
    """Bytes of an image that are taken at most."""
    image_workers: int = Field(default=2, ge=1, le=64)
    """Processes that one API process decodes images in."""
    clicks_days: int = Field(default=90, ge=1, le=3650)
    """How long clicks are kept."""
    clicks_sample: float = Field(default=1.0, ge=0, le=1)
    """The share of sessions whose clicks are kept."""
    mongo_driver: MongoDriver = "motor"
    """What waits for MongoDB in the event loop: Motor, or PyMongo's own asyncio client."""
    ids: WayToMakeIds = "snowflake"
    """What names events: each process by itself on a leased machine id, or out of blocks of two
    ticket servers or of an id server."""
    tickets: Annotated[str, AfterValidator(check_tickets)] = Field(default="", repr=False)
    """The ticket servers of odd and even numbers. Empty: two files in the data folder, or two
    documents in the database of the views."""
    tickets_file: Path | None = None
    """A file that holds `tickets`, for addresses with a password."""
    id_server: Annotated[str | None, AfterValidator(check_id_server)] = None
    """Where `starling ids serve` answers."""
    id_server_password: Annotated[str | None, AfterValidator(check_secret)] = Field(
        default=None, repr=False
    )
    """What the id server asks its clients for; None for nothing."""
    id_server_password_file: Path | None = None
    """A file that holds `id_server_password`."""
    limits: bool = True
    """Whether rates are limited."""
    rates: Annotated[str, AfterValidator(check_rates)] = ""
    """Limits on rates other than the defaults: `reads=300 per 5 minutes`, commas between."""
    trusted_proxies: Annotated[str, AfterValidator(check_networks)] = ""
    """Addresses and networks, with commas between, whose `X-Forwarded-For` is believed."""
    connections: int = Field(default=4000, ge=1, le=1_000_000)
    """Connections that one API process has at most."""
    connections_per_address: int = Field(default=2000, ge=1, le=1_000_000)
    """How many of them one client address has at most."""
    head_seconds: float = Field(default=10.0, gt=0, le=3600)
    """How long the head of a request may take."""
    body_seconds: float = Field(default=30.0, gt=0, le=3600)
    """How long the body of a request may take, and a second more for each 8 KiB that came."""
    idle_seconds: float = Field(default=20.0, gt=0, le=3600)
    """How long a connection may stay open between two requests."""
    smtp: Annotated[str | None, AfterValidator(check_smtp)] = Field(default=None, repr=False)
    """The mail server: `smtp://user:password@host:587` or `smtps://...`; None for no mail."""
    smtp_file: Path | None = None
    """A file that holds `smtp`."""
    mail_from: Annotated[str | None, AfterValidator(check_mail_from)] = None
    """The sender of mails."""
    webhooks_loopback: bool = False
    """Whether webhooks may name addresses of this machine, and plain http there: for tests."""
    log_format: Literal["console", "json"] = "console"
    """How processes write their log lines."""
    access_log: bool = False
    """Whether API processes write a line for each request."""
    metrics: Literal["local", "open", "off"] = "local"
    """Who may read the API's `/metrics` without an operator's token: this machine, all, none."""
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Where a worker, projector or relay shows `/metrics`; None for nowhere of its own."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, found: dict[str, Any]) -> dict[str, Any]:
        """Leave out what is empty, and read what is kept in files."""
        given = {name: value for name, value in found.items() if value not in ("", None)}
        for name in _FROM_FILES:
            file = given.get(f"{name}_file")
            if file is None:
                continue
            if name in given:
                raise setting_error(
                    f"{_variable(name)} and {_variable(name)}_FILE are both set: give one"
                )
            try:
                given[name] = Path(file).read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or "it is no text"
                raise setting_error(
                    f"{_variable(name)}_FILE: can't read {file}: {reason}"
                ) from error
        return given

    def to_environment(self) -> dict[str, str]:
        """This process's environment, from which another one reads the same settings.

        It names every setting, so a `.env` adds nothing. What came from a file is read from there.
        """
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith(ENV_PREFIX)
        }
        for name in type(self).model_fields:
            environment[_variable(name)] = _to_text(getattr(self, name))
        for name in _FROM_FILES:
            if getattr(self, f"{name}_file") is not None:
                environment[_variable(name)] = ""
        return environment

    def listening_on(self, host: str, port: int) -> Self:
        """The same settings for an API that listens here; keeps a `base_url` that was chosen."""
        if "base_url" in self.model_fields_set:
            return self
        return self.model_copy(update={"base_url": _listening_address(host, port)})

    def make_data_folder(self) -> None:
        """Make the data folder if there is none, for this user alone. Raises `OSError`."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def proxies(self) -> tuple[str, ...]:
        """The proxies that are trusted, one by one."""
        return split_list(self.trusted_proxies)

    @property
    def mongodb(self) -> str | None:
        """The address of the MongoDB that holds the views; None where they are in SQLite."""
        return None if self.views == "sqlite" else self.views

    @property
    def log_is_shared(self) -> bool:
        """Whether several machines may write the log. What goes with it is in MongoDB then."""
        return self.log != "sqlite" and self.mongodb is not None

    @property
    def log_ids_file(self) -> Path:
        """Where a log lies that has no index of ids. Disposable."""
        return self.data / "log-ids.sqlite"

    @property
    def log_path(self) -> Path:
        """The log of record, where it is in SQLite."""
        return self.data / "log.sqlite"

    @property
    def accounts_file(self) -> Path:
        """Emails and password hashes, which never enter the log."""
        return self.data / "accounts.sqlite"

    @property
    def text_keys_file(self) -> Path:
        """What the log's personal texts are sealed under. Without it no text can be read."""
        return self.data / "text-keys.sqlite"

    @property
    def rate_limits_file(self) -> Path:
        """How often passwords were tried, and requests made, of late. Disposable."""
        return self.data / "rate-limits.sqlite"

    @property
    def leases_file(self) -> Path:
        """Who uses which machine id."""
        return self.data / "leases.sqlite"

    @property
    def ticket_places(self) -> tuple[str, str] | None:
        """Where tickets of odd and of even numbers come from; None for the profile's own places."""
        places = self.tickets.split()
        return (places[0], places[1]) if places else None

    @property
    def ticket_files(self) -> tuple[Path, Path]:
        """The ticket servers of the embedded profile: odd numbers and even ones."""
        if self.ticket_places is not None:
            odd, even = map(Path, self.ticket_places)
            return odd, even
        return self.data / "tickets-odd.sqlite", self.data / "tickets-even.sqlite"

    @property
    def id_server_file(self) -> Path:
        """What the id server that runs on this folder has handed out."""
        return self.data / "id-server.sqlite"

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
    def exports_file(self) -> Path:
        """Lines for a shell, with which other programs find the engines of `starling up`."""
        return self.data / "up.env"

    @property
    def metrics_folder(self) -> Path:
        """What each process counts, for `/metrics`."""
        return self.data / "metrics"

    @property
    def rings_folder(self) -> Path:
        """Home timelines of active readers."""
        return self.data / "home"


def from_environment(**options: Any) -> Settings:
    """The settings that the environment and `.env` ask for, but for `options`, which win where
    they are not None. Raises `InvalidSetting`."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise InvalidSetting(_describe(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{ENV_FILE} can't be read: {error}") from None


def unknown_variables() -> list[str]:
    """A line for each variable of the environment or of `.env` that is named like a setting and
    is none. One that names every setting was made by `to_environment`, and `.env` is not asked."""
    known = [_variable(name) for name in Settings.model_fields]
    names = {name.upper() for name in os.environ}
    if not names.issuperset(known) and Path(ENV_FILE).is_file():
        names.update(name.upper() for name in dotenv_values(ENV_FILE, encoding="utf-8"))
    return [
        f"{name} is no setting and is ignored{_did_you_mean(name, known)}"
        for name in sorted(names.difference(known))
        if name.startswith(ENV_PREFIX)
    ]


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.85)
    return f"; did you mean {near[0]}?" if near else ""


def _describe(error: ValidationError) -> str:
    """One line for the first thing that is wrong."""
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return first["msg"]
    name = str(first["loc"][0])
    if name in EXPECTED_VALUES:
        return f"{_variable(name)} must be {EXPECTED_VALUES[name]}, not {first['input']!r}"
    return f"{_variable(name)} {first['msg']}"


def _variable(name: str) -> str:
    return ENV_PREFIX + name.upper()


def _to_text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "on" if value else "off"
        case Path():
            return str(value.absolute())
    return str(value)
