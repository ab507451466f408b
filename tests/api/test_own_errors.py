"""What a user's own code says to the client, by FastAPI's `HTTPException`; and open paths."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, SecretStr

from launchpad.api.app import create_app
from launchpad.api.router import create_router
from launchpad.core.nodes.base import Node
from launchpad.core.schema import WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.settings import Settings
from launchpad.testing import serve
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


class Order(BaseModel):
    @classmethod
    def from_chat(cls, request: OpenAIChatSchema) -> Order:
        raise HTTPException(404, "order 7 does not exist")


class Busy(Node):
    async def process(self, task_context: TaskContext) -> Any:
        raise HTTPException(429, "Too many orders.", {"Retry-After": "7"})
        yield ""


class Gone(Node):
    async def process(self, task_context: TaskContext) -> Any:
        raise HTTPException(410, {"why": "sold"})


class Late(Node):
    async def process(self, task_context: TaskContext) -> Any:
        yield "One"
        raise HTTPException(404, "no such order")


class Moved(Node):
    async def process(self, task_context: TaskContext) -> Any:
        raise HTTPException(302, "elsewhere")


def flow(node: type[Node], event_schema: type[BaseModel] = OpenAIChatSchema) -> type[Workflow]:
    schema = WorkflowSchema(event_schema=event_schema, start=node)
    return type(f"{node.__name__}Workflow", (Workflow,), {"workflow_schema": schema})


class Never(Node):
    async def process(self, task_context: TaskContext) -> Any:
        yield ""


FLOWS = [flow(Busy), flow(Gone), flow(Late), flow(Moved), flow(Never, Order)]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("model", "status", "message", "kind"),
    [
        ("busy", 429, "Too many orders.", "invalid_request_error"),
        ("gone", 410, '{"why": "sold"}', "invalid_request_error"),
        ("moved", 500, "The node Moved failed.", "server_error"),
        ("never", 404, "order 7 does not exist", "invalid_request_error"),
    ],
)
def test_an_http_exception_is_what_the_client_gets(
    model: str, status: int, message: str, kind: str, stream: bool
) -> None:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
    with serve(FLOWS) as server:
        answer = httpx.post(f"{server.base_url}/chat/completions", json=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["message"], error["type"]) == (message, kind)
    assert answer.headers.get("retry-after") == ("7" if model == "busy" else None)


def test_after_the_first_word_it_is_the_streams_last_event() -> None:
    body = {"model": "late", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    with serve(FLOWS) as server:
        answer = httpx.post(f"{server.base_url}/chat/completions", json=body)
    assert answer.status_code == 200
    assert '"no such order"' in answer.text


def test_routes_of_ones_own_say_their_own_words() -> None:
    app = create_app(FLOWS)

    @app.get("/orders/{number}")
    async def order(number: int) -> None:
        raise HTTPException(404, f"order {number} does not exist")

    @app.get("/gone")
    async def gone() -> None:
        raise HTTPException(410, {"why": "sold"})

    with serve(app) as server:
        answers = [httpx.get(f"{server.url}/{path}") for path in ("orders/7", "gone", "nowhere")]
    words = [answer.json()["error"]["message"] for answer in answers]
    assert words[:2] == ["order 7 does not exist", '{"why": "sold"}']
    assert words[2].startswith("There is nothing here.")


def test_health_is_open_wherever_it_is() -> None:
    settings = Settings(api_keys=[SecretStr("me=secret")])
    app = FastAPI()
    app.include_router(create_router([flow(Never)], settings), prefix="/ai")
    app.mount("/mounted", create_app([flow(Never)], settings))
    with serve(app) as server:
        for prefix in ("/ai", "/mounted"):
            assert httpx.get(f"{server.url}{prefix}/health").status_code == 200
            for path in ("/v1/models", "/metrics", "/nohealth", "/x/health"):
                assert httpx.get(f"{server.url}{prefix}{path}").status_code in {401, 404}
            assert httpx.get(f"{server.url}{prefix}/v1/models").status_code == 401


def test_an_app_of_ones_own_goes_on_redirecting() -> None:
    app = FastAPI()
    app.include_router(create_router([flow(Never)]))

    @app.get("/orders")
    async def orders() -> None: ...

    with serve(app) as server:
        assert httpx.get(f"{server.url}/orders/").status_code == 307
