"""`/chat/stream` and `/chat/stream-meta`: what is refused, and what fails."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from launchpad.api.app import create_app
from launchpad.testing.server import Server, serve
from launchpad.testing.sse import open_stream

from .chat_stream_flows import META, PLAIN, Shapes, ask, words
from .conftest import Flows, gates, settings

BAD: dict[str, tuple[dict[str, Any], int, str | None]] = {
    "no body": ({}, 400, None),
    "malformed": ({"content": b'{"message": "hi"'}, 400, None),
    "an array": ({"json": ["hi"]}, 400, None),
    "no message": ({"json": {"msg": "hi"}}, 400, "message"),
    "a message of a wrong type": ({"json": {"message": 7}}, 400, "message"),
    "a null message": ({"json": {"message": None}}, 400, "message"),
    "a prompt of a wrong type": ({"json": {"message": "", "system_prompt": []}}, 400, None),
    "a model of a wrong type": ({"json": {"message": "hi", "model": 1}}, 400, "model"),
    "an unknown model": ({"json": {"message": "hi", "model": "nope"}}, 404, "model"),
    "a workflow that is not served": ({"json": {"message": "", "model": "internal"}}, 404, "model"),
    "ten megabytes": ({"content": b"x" * 10_000_000}, 413, None),
}


@pytest.mark.parametrize("path", [PLAIN, META])
@pytest.mark.parametrize("case", BAD)
def test_a_request_that_is_not_valid_is_an_ordinary_error(
    client: httpx.Client, path: str, case: str
) -> None:
    request, status, param = BAD[case]
    answer = client.post(path, **request)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert param in {None, error["param"]}
    assert client.post(path, json={"message": "hi"}).status_code == 200


def test_other_methods_and_paths_are_ordinary_errors_too(client: httpx.Client) -> None:
    for path in (PLAIN, META):
        for method in ("PUT", "DELETE", "HEAD"):
            answer = client.request(method, path)
            assert answer.status_code == 405
            assert answer.headers["allow"] == "GET, POST"
    # There is no such workflow in this registry.
    assert client.post("/anthropic/stream", json={"message": "hi"}).status_code == 404


def test_every_failure_of_a_run_is_the_documented_event(server: Server) -> None:
    for model, said in (("broken", "The node BrokenNode failed."), ("limited", "Slow down.")):
        (failure,) = ask(server.url + PLAIN, model=model)
        assert failure == {"error": failure["error"], "done": True}
        assert said in failure["error"]
        start, failure = ask(server.url + META, model=model)
        assert start == {"event": "start", "model": model}
        assert failure == {"event": "error", "message": failure["message"]}
        assert said in failure["message"]
    token, failure = ask(server.url + PLAIN, "late", model="broken")
    assert token == {"token": "partly ", "done": False}
    assert failure == {"error": "The node BrokenNode failed.", "done": True}


def test_a_full_server_is_the_documented_event_too() -> None:
    full = settings(max_concurrent_runs=1, max_queued_runs=0)
    with (
        serve(create_app(Shapes, full)) as server,
        open_stream(server.url + PLAIN, {"message": "hi", "model": "gated"}) as first,
    ):
        assert first.next_event().data == '{"token": "first", "done": false}'
        (failure,) = ask(server.url + PLAIN)
        assert failure.keys() == {"error", "done"}
        start, failure = ask(server.url + META)
        assert start["event"] == "start"
        assert failure["event"] == "error"
        gates.release.set()
        assert words([json.loads(event.data) for event in first]) == " last"


def test_keys_guard_these_paths_too() -> None:
    with serve(create_app(Flows, settings(api_keys="me=secret"))) as server:
        for path in (PLAIN, META):
            url = server.url + path
            assert httpx.post(url, json={"message": "hi"}).status_code == 401
            assert httpx.get(url, params={"message": "hi"}).status_code == 401
            key = {"authorization": "Bearer secret"}
            assert httpx.post(url, json={"message": "hi"}, headers=key).status_code == 200
            assert httpx.get(url, params={"message": "hi"}, headers=key).status_code == 200
