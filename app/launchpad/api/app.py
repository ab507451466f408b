"""`create_app`: the whole server as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from launchpad.api.errors import handle_error
from launchpad.api.gate import Gate
from launchpad.api.router import create_router
from launchpad.errors import LaunchpadError
from launchpad.models import aclose_clients
from launchpad.settings import Settings, get_settings
from launchpad.workflows.catalog import Registry

__all__ = ["create_app"]


def create_app(registry: Registry | None = None, settings: Settings | None = None) -> FastAPI:
    """The server for `registry` (an Enum of Workflow classes, a mapping, or the classes).

    Without `registry` it serves the shipped workflows, without `settings` what the environment
    says. Raises `ConfigurationError` where these do not fit together.
    """
    settings = settings or get_settings()
    app = FastAPI(title="Launchpad", lifespan=_lifespan, docs_url=None, redoc_url=None)
    app.include_router(create_router(registry, settings))
    for kind in (LaunchpadError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, handle_error)
    app.add_middleware(Gate, settings=settings)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["*"],
        )
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await aclose_clients()
