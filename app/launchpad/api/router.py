"""The routes, as a router for any FastAPI app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sized

from fastapi import APIRouter, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from launchpad.api.about import Health, Metrics, ModelCard, ModelList
from launchpad.api.chat_completions import ChatCompletions
from launchpad.api.chat_stream import ChatStream, ChatStreamMeta
from launchpad.api.endpoint import Endpoint
from launchpad.api.example_streams import AnthropicStream, LangChainStream
from launchpad.api.gate import Gate, read_keys
from launchpad.api.lifespan import Lifespan, lifespan_of
from launchpad.errors import ConfigurationError
from launchpad.runs.in_process import RUNS_STATE, Runs
from launchpad.settings import Settings, get_settings, warn_of_unknown_variables
from launchpad.workflows.catalog import Catalog, Registry

__all__ = ["create_router"]


def create_router(registry: Registry | None = None, settings: Settings | None = None) -> APIRouter:
    """Routes that serve `registry`: those of `launchpad serve`, of which README.md has the list.

    Include it in your own app (`app.include_router(create_router(MyRegistry))`). Who may call is
    your app's to say: its dependencies and middleware hold for these routes. Where
    `LAUNCHPAD_API_KEYS` is set, every route but `/health` also wants one of its keys. Without
    `registry`, the shipped workflows are served. Raises `ConfigurationError`.

    The router has a lifespan: your app's start and end prepare its workflows and end its runs.
    """
    if settings is None:
        settings = get_settings()
        warn_of_unknown_variables()
    keys = read_keys(settings)
    catalog, runs = create_catalog(registry, settings), Runs(settings)

    def guarded(endpoint: ASGIApp) -> ASGIApp:
        return Gate(endpoint, settings, keys) if keys else endpoint

    # An app may include several, and its state is one.
    state = f"{RUNS_STATE}.{id(runs)}"
    lifespan = lifespan_of(catalog, runs, settings, state=state, is_guest=True)
    return build_router(catalog, runs, settings, guarded, lifespan)


def build_router(
    catalog: Catalog,
    runs: Runs,
    settings: Settings,
    guarded: Callable[[ASGIApp], ASGIApp] = lambda endpoint: endpoint,
    lifespan: Lifespan | None = None,
) -> APIRouter:
    """The routes over parts that exist already; `guarded` goes around every endpoint."""
    router = APIRouter(lifespan=lifespan)
    routes: dict[str, Endpoint] = {
        **endpoints(catalog, runs, settings),
        "/v1/models/{model:path}": ModelCard(catalog),
    }
    for path, endpoint in routes.items():
        router.add_api_route(
            path,
            # Probes have no key.
            _handing_on(endpoint if path == "/health" else guarded(endpoint)),
            methods=sorted(endpoint.methods),
            name=path,
            response_model=None,
            include_in_schema=False,
        )
    return router


def _handing_on(endpoint: ASGIApp) -> Callable[[Request], Awaitable[Response]]:
    """`endpoint` as FastAPI wants it: dependencies of the app and the router run before it.

    They would not for a plain Starlette route.
    """

    class HandedOn(Response):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await endpoint(scope, receive, send)

    async def hand_on(request: Request) -> Response:
        del request
        return HandedOn()

    return hand_on


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


def create_catalog(
    registry: Registry | None, settings: Settings, *, complete: bool = True
) -> Catalog:
    """The workflows of `registry`, or the shipped ones, with the settings' default and aliases.

    `complete`: what these name has to be among them. Raises `ConfigurationError`.
    """
    if registry is not None and isinstance(registry, Sized) and not len(registry):
        raise ConfigurationError(
            "The registry is empty, so there is nothing to serve; give Workflow classes: "
            "[AnswerWorkflow], an Enum of them, or a mapping from model ids to them."
        )
    if registry is None:
        from launchpad.workflows.workflow_registry import WorkflowRegistry

        registry = WorkflowRegistry
    return Catalog(
        registry,
        default=settings.default_workflow,
        # As delivered it names a workflow of ours, which a user's registry need not have.
        default_wanted=complete and "default_workflow" in settings.model_fields_set,
        aliases=settings.model_aliases,
        aliases_wanted=complete,
    )
