"""The application whose routes all worlds of a process share."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache

from fastapi import FastAPI

from api.app import build_app
from api.ports import Ports


@cache
def shared_application(fast_path: bool) -> FastAPI:
    """Its routes are for all worlds of this process, for making them takes time and memory. Its
    lifespan does nothing."""
    app = build_app(_no_ports, fast_path=fast_path)
    app.router.lifespan_context = _nothing_to_open
    return app


def _no_ports() -> AbstractAsyncContextManager[Ports]:
    raise AssertionError("each world has its own")


@asynccontextmanager
async def _nothing_to_open(app: FastAPI) -> AsyncIterator[None]:
    yield
