"""Servers on scripted models, and on the real one, for clients that know nothing of Launchpad."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from openai import OpenAI
from starlette.routing import BaseRoute

from launchpad.api.app import create_app
from launchpad.models.config import AgentConfig, ModelProvider
from launchpad.models.local.weights import find_weights
from launchpad.models.provider import build_model
from launchpad.settings import Settings
from launchpad.testing import ScriptedUpstream, override_model, serve
from launchpad.testing.server import Server
from launchpad.workflows.workflow_registry import WorkflowRegistry

from .programs import absent

ALIASES = {"gpt-4o": "chat", "gpt-4o-mini": "chat", "gpt-4.1": "chat"}
KEY = "sk-launchpad-test"


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **{"model_aliases": ALIASES, "debounce": 0.0, **changes})


@pytest.fixture(scope="package")
def upstream() -> Iterator[ScriptedUpstream]:
    """The model behind every server of this folder but the local model's; obeys its user."""
    with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture(autouse=True)
def no_leftovers(upstream: ScriptedUpstream) -> Iterator[None]:
    yield
    upstream.clear()


def on_upstream(
    upstream: ScriptedUpstream, *, pages: Sequence[BaseRoute] = (), **changes: Any
) -> Server:
    """The shipped workflows on the scripted upstream, read by our own reader over a socket."""
    config = AgentConfig(
        model_provider=ModelProvider.OPENAI_COMPATIBLE,
        model_name="scripted",
        base_url=upstream.base_url,
    )
    with override_model(build_model(config)):
        app = create_app(WorkflowRegistry, settings(**changes))
        app.router.routes.extend(pages)
        return serve(app)


@pytest.fixture(scope="package")
def server(upstream: ScriptedUpstream) -> Iterator[Server]:
    with on_upstream(upstream) as running:
        yield running


@pytest.fixture(scope="package")
def locked_server(upstream: ScriptedUpstream) -> Iterator[Server]:
    """As `server`, but it wants the key `KEY`."""
    with on_upstream(upstream, api_keys=f"tests={KEY}") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[OpenAI]:
    """openai-python, which tries once."""
    with OpenAI(base_url=server.base_url, api_key="any", max_retries=0) as made:
        yield made


@pytest.fixture(scope="package")
def local_server() -> Iterator[Server]:
    """The shipped workflows on the real model."""
    if importlib.util.find_spec("xllamacpp") is None or find_weights() is None:
        absent("xllamacpp and the weights are not on this machine", ci_has_it=True)
    with serve(create_app(WorkflowRegistry, settings(model="local"))) as running:
        yield running


def was_left(upstream: ScriptedUpstream, words: str) -> bool:
    """Whether the client left in the middle of the answers to those who said `words`, to hang."""
    upstream.wait_idle()
    outcomes = {
        request.outcome
        for request in upstream.requests
        if request.body["messages"][-1]["content"] == f"!hang 2\n{words}"
    }
    return outcomes == {"left"}
