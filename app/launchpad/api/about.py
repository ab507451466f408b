"""`GET` and `HEAD` of `/v1/models`, `/v1/models/{id}`, `/health` and `/metrics`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope

from launchpad.api.endpoint import Endpoint
from launchpad.api.request_id import request_id
from launchpad.observe.metrics import CONTENT_TYPE, metrics
from launchpad.runs.in_process import Runs
from launchpad.workflows.catalog import Catalog, ServedWorkflow

_STARTED = int(time.time())


class ReadEndpoint(Endpoint):
    """An endpoint whose answer costs nothing: it takes HEAD too, as probes of a server's life do.

    The ASGI server leaves the body out then.
    """

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "HEAD"})


class ModelList(ReadEndpoint):
    """Every workflow as a model object."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        """OpenAI's list object."""
        data = [_model(served) for served in self._catalog.served]
        return _json({"object": "list", "data": data})


class ModelCard(ReadEndpoint):
    """One workflow as a model object; `default` and aliases are known too."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        """OpenAI's model object, or 404."""
        return _json(_model(self._catalog.find(scope["path_params"]["model"])))


class Health(ReadEndpoint):
    """Alive, and nothing more: it asks no model."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        """`{"status": "ok"}`; 503 once the server shuts down, so that nobody sends it more."""
        if self._runs.closing:
            return _json({"status": "shutting down"}, 503, {"connection": "close"})
        return _json({"status": "ok"})


class Metrics(ReadEndpoint):
    """`GET /metrics`: this process's counts, in Prometheus's text format."""

    async def respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        """The counts as they are now."""
        return Response(metrics.render(), headers=request_id(), media_type=CONTENT_TYPE)


def _json(
    content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return JSONResponse(content, status, {**request_id(), **(headers or {})})


def _model(served: ServedWorkflow) -> dict[str, Any]:
    return {
        "id": served.id,
        "object": "model",
        "created": _STARTED,
        "owned_by": "launchpad",
        "description": served.description,
    }
