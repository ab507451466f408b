"""Streams are written past the app's own layers, and past nobody who wants to see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from launchpad.api.app import create_app
from launchpad.api.router import create_router
from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.server.direct import DirectBody
from launchpad.server.protocol import LaunchpadProtocol
from launchpad.settings import Settings
from launchpad.testing.server import Server
from launchpad.testing.sse import open_stream
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

WORDS = [f"word {number} " for number in range(20)]
CHAT = "/v1/chat/completions"


class Slow(Node):
    async def process(self, task_context: Any) -> AsyncIterator[str]:
        for word in WORDS:
            yield word
            await asyncio.sleep(0.005)


class Flow(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=Slow, nodes=[NodeConfig(node=Slow)]
    )


class Seen(LaunchpadProtocol):
    """Counts what was written past `send`."""

    parts = 0

    def direct(self, send: Send, receive: Receive) -> DirectBody | None:
        found = super().direct(send, receive)
        return None if found is None else Counted(self, found)


class Counted(DirectBody):
    def __init__(self, protocol: LaunchpadProtocol, found: DirectBody) -> None:
        super().__init__(found._cycle)
        protocol._body = self

    def write(self, data: bytes) -> bool:
        Seen.parts += 1
        return super().write(data)


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


def with_router() -> FastAPI:
    app = FastAPI()
    app.include_router(create_router([Flow], Settings(_env_file=None, debounce=0)))
    return app


def answer(app: ASGIApp, path: str = CHAT, **body: Any) -> str:
    Seen.parts = Counting.bodies = 0
    body = body or {"model": "flow", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    with (
        Server(app, timeout=20, grace=1, http=Seen) as server,
        open_stream(server.url + path, body) as client,
    ):
        whole = client.read_body().decode()
        assert client.ended == "complete"
    places = [whole.find(word) for word in WORDS]
    assert -1 not in places
    assert places == sorted(places)
    return whole


@pytest.mark.parametrize("settings", [{}, {"cors_origins": ["http://there.example"]}])
def test_a_stream_goes_past_layers_that_only_look_at_heads(settings: dict[str, Any]) -> None:
    assert answer(launchpad(**settings)).endswith("data: [DONE]\n\n")
    assert Seen.parts >= len(WORDS) // 2


def test_and_past_those_of_an_app_that_includes_the_router() -> None:
    answer(with_router())
    assert Seen.parts >= len(WORDS) // 2


@pytest.mark.parametrize("path", ["/chat/stream", "/chat/stream-meta"])
def test_the_tutorial_s_streams_do_too(path: str) -> None:
    answer(launchpad(), path, message="hi", model="flow")
    assert Seen.parts >= len(WORDS) // 2


def added() -> ASGIApp:
    app = launchpad()
    app.add_middleware(Counting)
    return app


def added_as_an_object() -> ASGIApp:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, app: ASGIApp) -> ASGIApp:
            return Counting(app)

    app = launchpad()
    app.add_middleware(Unhashable())
    return app


def mounted(inner: ASGIApp) -> ASGIApp:
    outer = launchpad()
    outer.mount("/inner", Counting(inner))
    return outer


def instrumented() -> ASGIApp:
    """As instrumentation does that comes from outside."""
    app = launchpad()
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Counting(build())  # type: ignore[method-assign]
    return app


class Proxy:
    """A middleware whose `send` has all that the one has for which it stands, as tracers' have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        class Standing:
            def __getattr__(self, name: str) -> Any:
                return getattr(send, name)

            async def __call__(self, message: Message) -> None:
                Counting.bodies += bool(message.get("body"))
                await send(message)

        await self._app(scope, receive, Standing())


def added_proxy() -> ASGIApp:
    app = launchpad()
    app.add_middleware(Proxy)
    return app


@pytest.mark.parametrize(
    ("app", "path"),
    [
        (added, CHAT),
        (added_proxy, CHAT),
        (added_as_an_object, CHAT),
        (lambda: Counting(launchpad()), CHAT),
        (lambda: mounted(launchpad()), "/inner" + CHAT),
        (lambda: mounted(with_router()), "/inner" + CHAT),
        (instrumented, CHAT),
    ],
    ids=["added", "a proxy", "an object", "around", "mounted", "a router within", "instrumented"],
)
def test_a_layer_of_others_sees_every_word(app: Callable[[], ASGIApp], path: str) -> None:
    answer(app(), path)
    assert Counting.bodies >= len(WORDS)
    assert Seen.parts == 0


def test_one_that_is_put_into_starlette_itself_does_too(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Starlette.__call__

    async def patched(self: Starlette, scope: Scope, receive: Receive, send: Send) -> None:
        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            await plain(self, scope, receive, send)

        await Counting(inner)(scope, receive, send)

    monkeypatch.setattr(Starlette, "__call__", patched)
    answer(launchpad())
    assert Counting.bodies >= len(WORDS)
    assert Seen.parts == 0


def test_one_that_tells_of_a_leaving_client_is_heard() -> None:
    app = launchpad()

    async def impatient(scope: Scope, receive: Receive, send: Send) -> None:
        asked: list[bool] = []

        async def receiving() -> Message:
            if asked:
                return {"type": "http.disconnect"}
            asked.append(True)
            return await receive()

        await app(scope, receiving if scope["type"] == "http" else receive, send)

    body = {"model": "flow", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    with (
        Server(impatient, timeout=20, grace=1, http=Seen) as server,
        open_stream(server.url + CHAT, body, wait_head=False) as client,
    ):
        assert WORDS[-1] not in client.read_body().decode()


def test_another_server_does_without() -> None:
    body = {"model": "flow", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with (
        Server(launchpad(), timeout=20, grace=1) as server,
        open_stream(server.url + CHAT, body) as client,
    ):
        assert client.read_body().decode().endswith("data: [DONE]\n\n")
