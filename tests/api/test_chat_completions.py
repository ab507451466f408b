"""`POST /v1/chat/completions` over a real socket."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from tests.reliability.harness import eventually

from launchpad.api.app import create_app
from launchpad.testing.server import serve

from .conftest import Flows, chat, gates, settings

PATH = "/v1/chat/completions"


def chunks_of(text: str) -> list[Any]:
    payloads = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def test_streams_chunks_in_openai_s_shape(client: httpx.Client) -> None:
    answer = client.post(PATH, json=chat(stream=True))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["connection"] == "keep-alive"
    *chunks, done = chunks_of(answer.text)
    assert done == "[DONE]"
    assert {chunk["id"] for chunk in chunks} == {chunks[0]["id"]}
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert all(chunk["model"] == "echo" for chunk in chunks)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [delta for delta in deltas if "role" in delta] == deltas[:1]
    assert deltas[0]["content"] == ""
    assert "".join(delta.get("content", "") for delta in deltas) == "hello big world "
    assert deltas[-1] == {}
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]


def test_answers_json_when_stream_is_absent_or_false(client: httpx.Client) -> None:
    for fields in ({}, {"stream": False}):
        answer = client.post(PATH, json=chat(**fields))
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert body["object"] == "chat.completion"
        assert body["choices"][0]["message"]["content"] == "hello big world "
        assert body["choices"][0]["finish_reason"] == "stop"


def test_the_first_chunk_leaves_before_the_workflow_has_finished(client: httpx.Client) -> None:
    with client.stream("POST", PATH, json=chat(model="gated", stream=True)) as answer:
        lines = answer.iter_lines()
        seen = ""
        while "first" not in seen:
            seen += next(lines)
        assert not gates.release.is_set()
        gates.release.set()
        rest = "".join(lines)
    assert "last" in rest
    assert "[DONE]" in rest


def test_from_chat_and_aliases_and_default(client: httpx.Client) -> None:
    for model, expected in (("ticket", "ticket: hi"), ("gpt-4o", "ticket: hi"), ("default", "hi ")):
        body = client.post(PATH, json=chat("hi", model=model)).json()
        assert body["choices"][0]["message"]["content"] == expected
        assert body["model"] == model
    without = chat("hi")
    del without["model"]
    assert client.post(PATH, json=without).json()["choices"][0]["message"]["content"] == "hi "


BAD: dict[str, tuple[dict[str, Any], int, str | None]] = {
    "malformed": ({"content": b'{"model": "echo", "messages"'}, 400, None),
    "not utf-8": ({"content": b'{"model": "\xff"}'}, 400, None),
    "an array": ({"json": [1]}, 400, None),
    "no messages": ({"json": {"model": "echo"}}, 400, "messages"),
    "empty messages": ({"json": {"model": "echo", "messages": []}}, 400, "messages"),
    "a wrong role": (
        {"json": {"model": "echo", "messages": [{"role": "boss", "content": "x"}]}},
        400,
        "messages[0].role",
    ),
    "content of a wrong type": (
        {"json": {"model": "echo", "messages": [{"role": "user", "content": 7}]}},
        400,
        "messages[0].content",
    ),
    "stream of a wrong type": ({"json": chat(stream="perhaps")}, 400, "stream"),
    "a model of a wrong type": ({"json": chat(model=7)}, 400, "model"),
    "temperature too high": ({"json": chat(temperature=9)}, 400, "temperature"),
    "an unknown model": ({"json": chat(model="nope")}, 404, "model"),
    "a workflow that is not served": ({"json": chat(model="internal")}, 404, "model"),
    "ten megabytes": ({"content": b"x" * 10_000_000}, 413, None),
    "too many messages": (
        {"json": {"model": "echo", "messages": [{"role": "user", "content": "x"}] * 3000}},
        413,
        "messages",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_openai_s_error_and_the_server_goes_on(
    client: httpx.Client, case: str
) -> None:
    request, status, param = BAD[case]
    answer = client.post(PATH, **request)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["param"] == param
    assert error["message"]
    assert client.post(PATH, json=chat()).status_code == 200


def test_an_unknown_model_lists_the_known(client: httpx.Client) -> None:
    message = client.post(PATH, json=chat(model="nope")).json()["error"]["message"]
    assert "echo" in message
    assert "internal" not in message


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_before_content_gets_its_status(client: httpx.Client, stream: bool) -> None:
    answer = client.post(PATH, json=chat(model="limited", stream=stream))
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"
    assert answer.json()["error"]["message"] == "LimitedNode: Slow down."
    answer = client.post(PATH, json=chat(model="broken", stream=stream))
    assert answer.status_code == 500
    assert "BrokenNode" in answer.json()["error"]["message"]
    assert "secret" not in answer.text


def test_a_failure_after_content_is_one_error_event_and_no_done(client: httpx.Client) -> None:
    answer = client.post(PATH, json=chat("late", model="broken", stream=True))
    assert answer.status_code == 200
    *_, last = chunks_of(answer.text)
    assert "BrokenNode" in last["error"]["message"]
    assert "[DONE]" not in answer.text
    assert "secret" not in answer.text


@pytest.mark.parametrize("model", ["gated", "silent"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_its_run(client: httpx.Client, model: str, stream: bool) -> None:
    timeout = httpx.Timeout(30, read=0.5)
    with (
        pytest.raises(httpx.ReadTimeout),
        client.stream("POST", PATH, json=chat(model=model, stream=stream), timeout=timeout) as got,
    ):
        got.read()
    assert gates.entered.wait(10)
    gates.release.set()
    assert gates.cleaned.wait(10)


def test_heartbeats_fill_the_silence() -> None:
    with (
        serve(create_app(Flows, settings(heartbeat=0.05))) as server,
        httpx.stream(
            "POST", server.url + PATH, json=chat(model="silent", stream=True), timeout=30
        ) as answer,
    ):
        assert answer.status_code == 200
        pieces = answer.iter_raw()
        assert next(pieces) == b": ping\n"
        assert next(pieces) == b": ping\n"


def test_what_does_not_exist_is_told_in_openai_s_shape(client: httpx.Client) -> None:
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("GET", PATH, 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/models/nope", 404),
        ("POST", PATH + "/", 404),
        ("GET", "/v1/models/", 404),
        ("GET", "/health/", 404),
    ):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]


def test_models_and_health(client: httpx.Client) -> None:
    models = client.get("/v1/models").json()
    assert models["object"] == "list"
    ids = [model["id"] for model in models["data"]]
    assert ids == ["echo", "broken", "limited", "gated", "silent", "ticket"]
    assert client.get("/v1/models/echo").json() == models["data"][0]
    assert client.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize("model", ["echo", "ticket"])
def test_the_client_s_metadata_is_in_the_run_s_log_line(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, model: str
) -> None:
    with caplog.at_level("INFO", logger="launchpad.run"):
        client.post(PATH, json=chat(model=model, metadata={"agent_id": "my-agent"}))
        # It is written right behind the last bytes.
        eventually(lambda: "run ended" in caplog.text, "the run's line")
    (line,) = [record.getMessage() for record in caplog.records if "run ended" in record.msg]
    assert f"model={model}" in line
    assert 'metadata={"agent_id":"my-agent"}' in line
    assert "status=completed" in line


@pytest.mark.parametrize("fields", [{"stream": True}, {"stream": False}, {"model": "limited"}])
def test_every_answer_names_its_run(client: httpx.Client, fields: dict[str, Any]) -> None:
    first, second = (client.post(PATH, json=chat(**fields)) for _ in range(2))
    assert len(first.headers["x-request-id"]) == 32
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
