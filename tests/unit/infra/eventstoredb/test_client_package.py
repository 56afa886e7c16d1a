"""The client's package, imported without setuptools."""

import os
import subprocess
import sys

import pytest

from tests.support.event_store import event_store_is_installed
from tests.support.requirements import REPOSITORY

TOO_NEW = sys.version_info >= (3, 13)


@pytest.mark.skipif(TOO_NEW, reason="the package needs Python below 3.13")
def test_the_package_is_here_where_every_test_has_to_run() -> None:
    if not event_store_is_installed() and os.environ.get("CI") != "true":
        pytest.skip("the package eventstoredb is missing")
    assert event_store_is_installed()


@pytest.mark.skipif(not event_store_is_installed(), reason="the package eventstoredb is missing")
def test_the_package_is_imported_without_setuptools_and_without_a_trace() -> None:
    code = (
        "import sys; sys.modules['setuptools'] = None; import infra.eventstoredb.client_package; "
        "import eventstoredb, betterproto; assert betterproto.__version__; "
        "assert 'pkg_resources' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=REPOSITORY, check=True)
