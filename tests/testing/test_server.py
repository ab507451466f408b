from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from launchpad.models.override import model_override
from launchpad.testing import Gate, ScriptedModel, open_stream, override_model, serve

Message = MutableMapping[str, Any]


def app(*routes: Route, **options: Any) -> Starlette:
    return Starlette(routes=list(routes), **options)


def test_serves_an_app_with_its_lifespan_and_ends_it() -> None:
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        seen.append("up")
        yield
        seen.append("down")

    async def hello(request: Request) -> JSONResponse:
        return JSONResponse({"path": request.url.path})

    with serve(app(Route("/{rest:path}", hello), lifespan=lifespan)) as server:
        assert httpx.get(f"{server.base_url}/x").json() == {"path": "/v1/x"}
        assert seen == ["up"]
    assert seen == ["up", "down"]
    assert not [thread for thread in threading.enumerate() if thread.name == "test-server"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


def test_streams_leave_while_they_are_made_and_disconnects_arrive() -> None:
    gate, left = Gate(), threading.Event()

    async def stream(_: Request) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            try:
                yield "data: one\n\n"
                await gate.wait()
                yield "data: two\n\n"
                await asyncio.sleep(60)
            finally:
                left.set()

        return StreamingResponse(events(), media_type="text/event-stream")

    with (
        serve(app(Route("/", stream))) as server,
        open_stream(server.url) as reader,
    ):
        first = reader.next_event()
        assert first is not None
        gate.wait_reached()
        gate.open()
        second = reader.next_event()
        assert second is not None
        assert second.data == "two"
        reader.abort()
        assert left.wait(10)


def test_an_open_stream_does_not_hold_the_end_up() -> None:
    async def stream(_: Request) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            yield "data: one\n\n"
            await asyncio.sleep(60)

        return StreamingResponse(events(), media_type="text/event-stream")

    with serve(app(Route("/", stream))) as server:
        reader = open_stream(server.url)
        reader.next_event()
    reader.read_all()
    assert reader.ended in {"cut", "reset"}
    reader.close()


def test_a_failing_start_is_raised() -> None:
    seen = ["a fault"]

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if seen:
            raise RuntimeError("no database")
        yield

    with pytest.raises(RuntimeError, match="start-up failed"), serve(app(lifespan=lifespan)):
        pass


def test_a_bare_asgi_function_is_an_app() -> None:
    async def bare(
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    with serve(bare) as server:
        assert httpx.get(server.url).status_code == 204


def test_an_override_around_the_server_holds_inside_it() -> None:
    async def name(_: Request) -> JSONResponse:
        model = model_override.get()
        return JSONResponse(model and model.model_name)

    with (
        override_model(ScriptedModel(name="mine")) as model,
        serve(app(Route("/", name))) as server,
    ):
        assert model_override.get() is model
        assert httpx.get(server.url).json() == "mine"
    assert model_override.get() is None
