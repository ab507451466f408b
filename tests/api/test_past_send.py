"""Streams are written past the app's layers, and past nobody who wants to see them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from launchpad.api.app import create_app
from launchpad.api.router import create_router
from launchpad.cli.direct import DirectBody
from launchpad.cli.protocol import LaunchpadProtocol
from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.settings import Settings
from launchpad.testing.server import Server
from launchpad.testing.sse import open_stream
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

WORDS = [f"word {number} " for number in range(20)]


class Slow(Node):
    async def process(self, task_context: Any) -> AsyncIterator[str]:
        import asyncio

        for word in WORDS:
            yield word
            await asyncio.sleep(0.005)


class Flow(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=Slow, nodes=[NodeConfig(node=Slow)]
    )


class Seen(LaunchpadProtocol):
    """Keeps which responses were offered a way past `send`."""

    offers: list[bool] = []  # noqa: RUF012 - one list for the test's server

    def direct(self, send: Send) -> DirectBody | None:
        found = super().direct(send)
        self.offers.append(found is not None)
        return found


class Counting:
    """A middleware that counts what goes out."""

    bodies = 0

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            Counting.bodies += bool(message.get("body"))
            await send(message)

        await self._app(scope, receive, counted)


def launchpad(**settings: Any) -> FastAPI:
    return create_app([Flow], Settings(_env_file=None, debounce=0, **settings))


def bare_router() -> FastAPI:
    app = FastAPI()
    app.include_router(create_router([Flow], Settings(_env_file=None, debounce=0)))
    return app


def under(path: str, app: ASGIApp) -> FastAPI:
    outer = launchpad()
    outer.mount(path, app)
    return outer


def counted() -> FastAPI:
    app = launchpad()
    app.add_middleware(Counting)
    return app


def say(app: ASGIApp, path: str = "/v1/chat/completions") -> str:
    Seen.offers.clear()
    Counting.bodies = 0
    body = {"model": "flow", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with (
        Server(app, timeout=20, grace=1, http=Seen) as server,
        open_stream(server.url + path, body) as client,
    ):
        whole = client.read_body()
        assert client.ended == "complete"
    return whole.decode()


def is_whole(answer: str) -> bool:
    places = [answer.find(word) for word in WORDS]
    return -1 not in places and places == sorted(places) and answer.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("settings", [{}, {"cors_origins": ["http://there.example"]}])
def test_a_stream_goes_past_layers_that_are_ours(settings: dict[str, Any]) -> None:
    assert is_whole(say(launchpad(**settings)))
    assert Seen.offers == [True]


def test_the_tutorial_s_streams_do_too() -> None:
    with (
        Server(launchpad(), timeout=20, grace=1, http=Seen) as server,
        open_stream(server.url + "/chat/stream-meta", {"message": "hi"}) as client,
    ):
        told = client.read_body().decode()
    assert all(word in told for word in WORDS)


@pytest.mark.parametrize(
    ("app", "path"),
    [
        (counted(), "/v1/chat/completions"),
        (Counting(launchpad()), "/v1/chat/completions"),
        (under("/inner", Counting(launchpad())), "/inner/v1/chat/completions"),
        (under("/inner", Counting(bare_router())), "/inner/v1/chat/completions"),
    ],
    ids=["added", "around", "mounted within", "a router within"],
)
def test_a_middleware_sees_every_word(app: ASGIApp, path: str) -> None:
    assert is_whole(say(app, path))
    assert Counting.bodies >= len(WORDS)
    assert Seen.offers == [False]


def test_another_server_does_without() -> None:
    body = {"model": "flow", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with (
        Server(launchpad(), timeout=20, grace=1) as server,
        open_stream(server.url + "/v1/chat/completions", body) as client,
    ):
        assert is_whole(client.read_body().decode())
