"""The routes, as a router for any FastAPI app."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.routing import Route

from launchpad.api.about import Health, Metrics, ModelCard, ModelList
from launchpad.api.chat_completions import ChatCompletions
from launchpad.api.chat_stream import ChatStream, ChatStreamMeta
from launchpad.api.endpoint import Endpoint
from launchpad.api.example_streams import AnthropicStream, LangChainStream
from launchpad.runs.in_process import Runs
from launchpad.settings import Settings, get_settings
from launchpad.workflows.catalog import Catalog, Registry

__all__ = ["create_router"]


def create_router(registry: Registry | None = None, settings: Settings | None = None) -> APIRouter:
    """Routes that serve `registry`: `POST /v1/chat/completions`, `GET /v1/models` and `/health`.

    Include it in your own app (`app.include_router(create_router(MyRegistry))`); who may call is
    your app's to say then. Without `registry`, the shipped workflows are served.
    """
    settings = settings or get_settings()
    return build_router(create_catalog(registry, settings), Runs(settings), settings)


def build_router(catalog: Catalog, runs: Runs, settings: Settings) -> APIRouter:
    """The routes over parts that exist already."""
    router = APIRouter()
    fixed = endpoints(catalog, runs, settings)
    router.routes += [Route(path, endpoint) for path, endpoint in fixed.items()]
    router.routes.append(Route("/v1/models/{model:path}", ModelCard(catalog)))
    return router


def endpoints(catalog: Catalog, runs: Runs, settings: Settings) -> dict[str, Endpoint]:
    """Every endpoint with a fixed path, by that path."""
    found: dict[str, Endpoint] = {
        "/v1/chat/completions": ChatCompletions(catalog, runs, settings),
        "/v1/models": ModelList(catalog),
        "/chat/stream": ChatStream(catalog, runs, settings),
        "/chat/stream-meta": ChatStreamMeta(catalog, runs, settings),
        "/health": Health(runs),
        "/metrics": Metrics(),
    }
    served = {one.id for one in catalog.served}
    for stream in (AnthropicStream, LangChainStream):
        if stream.model in served:
            found[stream.path] = stream(catalog, runs, settings)
    return found


def create_catalog(registry: Registry | None, settings: Settings) -> Catalog:
    """The workflows of `registry`, or the shipped ones, with the settings' default and aliases."""
    if registry is None:
        from launchpad.workflows.workflow_registry import WorkflowRegistry

        registry = WorkflowRegistry
    return Catalog(registry, default=settings.default_workflow, aliases=settings.model_aliases)
