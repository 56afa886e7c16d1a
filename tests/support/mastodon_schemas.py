"""The JSON Schemas of the Mastodon API's entities, where the machine has them."""

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.support.documented_answers import check_documented
from tests.support.requirements import REPOSITORY

SCHEMAS = REPOSITORY.parent / "shared/data/mastodon-api/mastodon-entities-min.json"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@cache
def _document() -> dict[str, Any]:
    if not SCHEMAS.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{SCHEMAS} is not there")
        pytest.skip(f"the schemas of Mastodon's entities are not at {SCHEMAS}")
    document: dict[str, Any] = json.loads(Path(SCHEMAS).read_text(encoding="utf-8"))
    return document


def check_entity(name: str, found: Any) -> None:
    """Fail unless this is such an entity, as our own document has it, too, and its times have three
    digits and a Z.
    """
    _validator(name).validate(found)
    check_documented(name, found)
    _check_times(found)


@cache
def _validator(name: str) -> Any:
    schema = {"$ref": f"#/components/schemas/{name}", "components": _document()["components"]}
    return jsonschema_rs.Draft202012Validator(schema)


def _check_times(found: Any) -> None:
    if isinstance(found, list):
        for one in found:
            _check_times(one)
    elif isinstance(found, dict):
        for name, value in found.items():
            if name in ("created_at", "edited_at", "updated_at") and isinstance(value, str):
                assert _TIME.fullmatch(value), f"{name}: {value}"
            _check_times(value)
