"""What tests need from outside the repository: data sets, engines.

On a laptop what is missing skips its tests; under CI=true it fails them.
"""

import os
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def skip_or_fail(what: str) -> NoReturn:
    """Skip the running test because `what` is not there, or fail it under CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and CI needs it", pytrace=False)
    pytest.skip(f"{what} is missing")


def shared_data_folder() -> Path:
    """The folder of data sets beside the repository, or STARLING_SHARED_DATA; may not exist."""
    named = os.environ.get("STARLING_SHARED_DATA")
    return Path(named) if named else REPOSITORY.parent / "shared" / "data"
