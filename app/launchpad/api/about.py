"""`GET /v1/models`, `GET /v1/models/{id}`, `GET /health` and `GET /metrics`."""

from __future__ import annotations

import time
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope

from launchpad.api.endpoint import Endpoint
from launchpad.observe.metrics import CONTENT_TYPE, metrics
from launchpad.runs.in_process import Runs
from launchpad.workflows.catalog import Catalog, ServedWorkflow

_STARTED = int(time.time())


class ModelList(Endpoint):
    """Every workflow as a model object."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        """OpenAI's list object."""
        data = [_model(served) for served in self._catalog.served]
        return JSONResponse({"object": "list", "data": data})


class ModelCard(Endpoint):
    """One workflow as a model object; `default` and aliases are known too."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        """OpenAI's model object, or 404."""
        return JSONResponse(_model(self._catalog.find(scope["path_params"]["model"])))


class Health(Endpoint):
    """Alive, and nothing more: it asks no model."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        """`{"status": "ok"}`; 503 once the server shuts down, so that nobody sends it more."""
        if self._runs.closing:
            return JSONResponse({"status": "shutting down"}, 503, {"connection": "close"})
        return JSONResponse({"status": "ok"})


class Metrics(Endpoint):
    """`GET /metrics`: this process's counts, in Prometheus's text format."""

    async def respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        """The counts as they are now."""
        return Response(metrics.render(), media_type=CONTENT_TYPE)


def _model(served: ServedWorkflow) -> dict[str, Any]:
    return {
        "id": served.id,
        "object": "model",
        "created": _STARTED,
        "owned_by": "launchpad",
        "description": served.description,
    }
