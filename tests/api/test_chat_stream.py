"""`/chat/stream` and `/chat/stream-meta` over a real socket: what they say."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from launchpad.testing.server import Server

from .chat_stream_flows import META, PLAIN, ask, events_of, words


def test_the_documented_stream_byte_for_byte(client: httpx.Client) -> None:
    answer = client.post(PLAIN, json={"message": "hello world"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.text == (
        'data: {"token": "hello ", "done": false}\n\n'
        'data: {"token": "world ", "done": false}\n\n'
        'data: {"token": "", "done": true}\n\n'
    )


def test_the_documented_stream_with_metadata(client: httpx.Client) -> None:
    *events, done = events_of(client.post(META, json={"message": "hello world"}).text)
    assert events == [
        {"event": "start", "model": "echo"},
        {"event": "token", "token": "hello "},
        {"event": "token", "token": "world "},
    ]
    latency = done.pop("latency_ms")
    assert latency >= 0
    assert latency == round(latency)
    # No model counted, so the token events are what there is to count.
    assert done == {"event": "done", "tokens": 2}


@pytest.mark.parametrize(("model", "said"), [("ticket", "ticket: hi"), ("gpt-4o", "ticket: hi")])
def test_model_picks_the_workflow_and_is_named_as_asked_for(
    server: Server, model: str, said: str
) -> None:
    assert words(ask(server.url + PLAIN, "hi", model=model)) == said
    start, *rest = ask(server.url + META, "hi", model=model)
    assert start == {"event": "start", "model": model}
    assert words(rest) == said


def test_nobody_s_model_is_the_default(server: Server) -> None:
    for fields in ({}, {"model": None}, {"model": ""}, {"model": "default"}):
        assert words(ask(server.url + PLAIN, "hi", **fields)) == "hi "


def test_the_message_and_its_system_prompt_are_the_conversation(shapes: str) -> None:
    def asked(**fields: Any) -> Any:
        return json.loads(words(ask(shapes + PLAIN, "hi", model="prompt", **fields)))

    # The workflow's own instructions stand where the request has none.
    assert asked() == [["user", "hi"]]
    assert asked(system_prompt=None) == [["user", "hi"]]
    assert asked(system_prompt="Be brief.") == [["system", "Be brief."], ["user", "hi"]]
    assert asked(temperature=7, messages="?", stream=False) == [["user", "hi"]]


def test_what_the_workflow_s_own_schema_adds_is_taken_and_nothing_else(shapes: str) -> None:
    fields = {"customer": "Ada", "visits": 3, "temperature": 0.5}
    assert words(ask(shapes + PLAIN, model="customer", **fields)) == "Ada, 3, None"
    assert words(ask(shapes + PLAIN, model="customer")) == "nobody, 0, None"
    query = {"message": "hi", "model": "customer", "customer": "Ada", "visits": "3"}
    assert words(events_of(httpx.get(shapes + PLAIN, params=query).text)) == "Ada, 3, None"
    answer = httpx.post(shapes + META, json={"message": "hi", "model": "order"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "customer"


def test_reasoning_is_not_shown_and_a_refusal_is(shapes: str) -> None:
    assert words(ask(shapes + PLAIN, model="thinking")) == "Fine. But no."


def test_json_is_tokens_and_a_later_node_begins_a_paragraph(shapes: str) -> None:
    said = words(ask(shapes + META, "hi", model="series"))
    assert said == 'hi \n\n{"said":"hi"}'


def test_nodes_that_run_at_once_follow_each_other(shapes: str) -> None:
    said = words(ask(shapes + PLAIN, "hi", model="at_once"))
    assert said == "hi \n\nFine. But no."
