"""The tables of `accounts.sqlite`, step by step as `infra.sqlite.migrations` takes them."""

from typing import Final

ACCOUNT_TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS accounts (
      user INTEGER PRIMARY KEY,
      email TEXT,
      folded TEXT UNIQUE,
      password TEXT,
      created INTEGER NOT NULL
    )
    """,
)

CLICK_OPT_OUT_TABLES: Final = ("CREATE TABLE click_opt_outs (user INTEGER PRIMARY KEY) STRICT",)

TOKEN_TABLES: Final = (
    # Times are Unix ms; user 0 is an app's own; `revoked` is the number of the revocation.
    """
    CREATE TABLE access_tokens (
      id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, user INTEGER NOT NULL, app INTEGER,
      scopes TEXT NOT NULL, made INTEGER NOT NULL, used INTEGER NOT NULL, expires INTEGER NOT NULL,
      revoked INTEGER
    ) STRICT
    """,
    "CREATE INDEX access_tokens_by_user ON access_tokens (user)",
    "CREATE INDEX access_tokens_by_expiry ON access_tokens (expires)",
    "CREATE INDEX revoked_tokens ON access_tokens (revoked) WHERE revoked IS NOT NULL",
    # One row: the last revocation, and until when tokens of the former, signed kind are accepted.
    "CREATE TABLE token_state (revocations INTEGER NOT NULL, signed_until INTEGER NOT NULL) STRICT",
    "INSERT INTO token_state VALUES (0, (unixepoch() + 30 * 24 * 60 * 60) * 1000)",
    "CREATE TABLE ended_signed_tokens (user INTEGER PRIMARY KEY) STRICT",
)

MARKER_TABLES: Final = (
    """
    CREATE TABLE timeline_markers (
      user INTEGER NOT NULL, timeline TEXT NOT NULL, last_read INTEGER NOT NULL,
      version INTEGER NOT NULL, updated INTEGER NOT NULL, -- Unix ms
      PRIMARY KEY (user, timeline)
    ) STRICT, WITHOUT ROWID
    """,
)

TOKENS_OF_APPS: Final = (
    "CREATE INDEX access_tokens_by_app ON access_tokens (app) WHERE app IS NOT NULL",
)
"""By which apps without a token are found."""

APP_TABLES: Final = (
    # Times are Unix ms. In the order of `AppRecord`; redirect addresses a line each.
    """
    CREATE TABLE apps (
      id INTEGER PRIMARY KEY, secret BLOB NOT NULL, name TEXT NOT NULL, website TEXT,
      redirect_uris TEXT NOT NULL, scopes TEXT NOT NULL, made INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE app_codes (
      digest BLOB PRIMARY KEY, app INTEGER NOT NULL, user INTEGER NOT NULL,
      redirect_uri TEXT NOT NULL, scope TEXT NOT NULL, challenge TEXT, expires INTEGER NOT NULL,
      spent INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    "CREATE INDEX app_codes_by_user ON app_codes (user)",
    "CREATE INDEX app_codes_by_expiry ON app_codes (expires)",
)
