"""`create_app`: the whole server as an ASGI application."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from launchpad.api.errors import handle_error
from launchpad.api.fast_lane import FastLane
from launchpad.api.gate import Gate, read_keys
from launchpad.api.lifespan import lifespan_of
from launchpad.api.router import build_router, create_catalog, endpoints
from launchpad.errors import LaunchpadError
from launchpad.runs.in_process import RUNS_STATE, Runs
from launchpad.settings import Settings, get_settings, warn_of_unknown_variables
from launchpad.workflows.catalog import Registry

__all__ = ["create_app"]


def create_app(registry: Registry | None = None, settings: Settings | None = None) -> FastAPI:
    """The server for `registry` (an Enum of Workflow classes, a mapping, or the classes).

    Without `registry` it serves the shipped workflows, without `settings` what the environment
    says. Raises `ConfigurationError` where these do not fit together.

    It is made to have its process to itself: its start sets the garbage collector up for serving
    (`memory.settle`). In an app of your own, `create_router` leaves that alone.
    """
    if settings is None:
        settings = get_settings()
        warn_of_unknown_variables()
    catalog = create_catalog(registry, settings)
    runs = Runs(settings)
    app = FastAPI(
        title="Launchpad",
        lifespan=lifespan_of(catalog, runs, settings, state=RUNS_STATE),
        # A path with a slash too many is unknown like any other: Starlette's redirect names scheme
        # and host as this server sees them, which behind a proxy are not the client's.
        redirect_slashes=False,
        # The routes read their bodies themselves, so a description made of them would be empty.
        openapi_url=None,
        # Runs are observed by `core.observed`. FastAPI's own spans would wrap every chunk's send
        # as soon as any tracer is set up, Langfuse's for instance.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.catalog, app.state.runs, app.state.settings = catalog, runs, settings
    app.include_router(build_router(catalog, runs, settings))
    app.add_middleware(FastLane, endpoints=endpoints(catalog, runs, settings))
    for kind in (LaunchpadError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, handle_error)
    # Added later is further out: the gate stands before everything.
    app.add_middleware(Gate, settings=settings, keys=read_keys(settings))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["*"],
            expose_headers=["*"],
        )
    return app
