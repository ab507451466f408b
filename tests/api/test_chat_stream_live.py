"""`/chat/stream` and `/chat/stream-meta`: when things leave, and who waits for whom."""

from __future__ import annotations

import json
import threading

import httpx
import pytest

from launchpad.api.app import create_app
from launchpad.testing.server import serve
from launchpad.testing.sse import open_stream

from .chat_stream_flows import META, PLAIN, Shapes, ask, words
from .conftest import gates, settings


def test_start_leaves_at_once(shapes: str) -> None:
    with open_stream(shapes + META, {"message": "hi", "model": "silent"}) as stream:
        assert json.loads(stream.next_event().data) == {"event": "start", "model": "silent"}
        assert gates.entered.wait(10)
    assert gates.cleaned.wait(10)


def test_start_waits_for_no_place_either() -> None:
    with (
        serve(create_app(Shapes, settings(max_concurrent_runs=1))) as server,
        open_stream(server.url + PLAIN, {"message": "hi", "model": "gated"}) as first,
    ):
        assert first.next_event() is not None
        with open_stream(server.url + META, {"message": "hi", "model": "echo"}) as second:
            assert json.loads(second.next_event().data)["event"] == "start"
            assert not second.has_bytes()
            gates.release.set()
            assert words([json.loads(event.data) for event in second]) == "hi "


def test_tokens_leave_before_the_workflow_has_finished(shapes: str) -> None:
    with open_stream(shapes + PLAIN, {"message": "hi", "model": "gated"}) as stream:
        assert json.loads(stream.next_event().data)["token"] == "first"
        assert not gates.release.is_set()
        gates.release.set()
        assert [json.loads(event.data)["done"] for event in stream] == [False, True]


@pytest.mark.parametrize("how", ["POST", "GET"])
@pytest.mark.parametrize("path", [PLAIN, META])
@pytest.mark.parametrize("model", ["gated", "silent"])
def test_a_client_that_leaves_ends_its_run(shapes: str, model: str, path: str, how: str) -> None:
    body = {"message": "hi", "model": model}
    url = shapes + path
    if how == "GET":
        url += f"?message=hi&model={model}"
    with open_stream(url, body if how == "POST" else None, wait_head=False):
        assert gates.entered.wait(10)
    gates.release.set()
    assert gates.cleaned.wait(10)


def test_heartbeats_fill_the_silence() -> None:
    with (
        serve(create_app(Shapes, settings(heartbeat=0.05))) as server,
        httpx.stream(
            "POST", server.url + META, json={"message": "hi", "model": "silent"}, timeout=30
        ) as answer,
    ):
        pieces = answer.iter_raw()
        assert next(pieces).startswith(b'data: {"event": "start"')
        assert next(pieces) == b": ping\n"
        assert next(pieces) == b": ping\n"


def test_two_clients_at_once_do_not_wait_for_each_other(shapes: str) -> None:
    with open_stream(shapes + PLAIN, {"message": "hi", "model": "gated"}) as waits:
        assert waits.next_event() is not None
        said: list[str] = []
        thread = threading.Thread(target=lambda: said.append(words(ask(shapes + PLAIN, "quick"))))
        thread.start()
        thread.join(10)
        assert said == ["quick "]
        gates.release.set()
        assert waits.read_all()
