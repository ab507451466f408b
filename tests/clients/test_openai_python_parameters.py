"""openai-python's parameters: n, stop, max_tokens, and how sampling reaches the model."""

from __future__ import annotations

from typing import Any

import pytest
from openai import OpenAI

from launchpad.testing import ScriptedUpstream

from .asks import user


@pytest.mark.parametrize("stream", [False, True])
def test_n_choices_have_their_own_indices(client: OpenAI, stream: bool) -> None:
    said: dict[int, str] = {}
    reasons: dict[int, str | None] = {}
    if stream:
        for chunk in client.chat.completions.create(
            model="chat", messages=user("!words 5"), n=3, stream=True
        ):
            [part] = chunk.choices
            said[part.index] = said.get(part.index, "") + (part.delta.content or "")
            reasons[part.index] = part.finish_reason
    else:
        answer = client.chat.completions.create(model="chat", messages=user("!words 5"), n=3)
        for choice in answer.choices:
            said[choice.index] = choice.message.content or ""
            reasons[choice.index] = choice.finish_reason
    assert sorted(said) == [0, 1, 2]
    assert all(len(text.split()) == 5 for text in said.values())
    assert reasons == {0: "stop", 1: "stop", 2: "stop"}


@pytest.mark.parametrize("stream", [False, True])
def test_stop_and_max_tokens(client: OpenAI, stream: bool) -> None:
    def ask(**parameters: Any) -> tuple[str, str | None]:
        got: Any = client.chat.completions.create(
            model="chat", messages=user("one two three four"), stream=stream, **parameters
        )
        if not stream:
            return got.choices[0].message.content, got.choices[0].finish_reason
        text, reason = "", None
        for chunk in got:
            text += chunk.choices[0].delta.content or ""
            reason = chunk.choices[0].finish_reason or reason
        return text, reason

    assert ask(stop=" three") == ("one two", "stop")
    assert ask(stop=["four", " two"]) == ("one", "stop")
    for limit in ("max_tokens", "max_completion_tokens"):
        text, reason = ask(**{limit: 2})
        assert reason == "length"
        assert "one two three four".startswith(text)
        assert "four" not in text


def test_sampling_parameters_reach_the_model(client: OpenAI, upstream: ScriptedUpstream) -> None:
    client.chat.completions.create(
        model="chat",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": [{"type": "text", "text": "How are you?"}]},
        ],
        temperature=0.5,
        top_p=0.9,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logit_bias={"50256": -100},
        user="someone",
        reasoning_effort="low",
    )
    asked = upstream.requests[-1].body
    wanted = {
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logit_bias": {"50256": -100},
        "user": "someone",
        "reasoning_effort": "low",
    }
    assert {name: asked.get(name) for name in wanted} == wanted
    assert [message["role"] for message in asked["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]


def test_images_and_recordings_reach_the_model(client: OpenAI, upstream: ScriptedUpstream) -> None:
    parts: list[Any] = [
        {"type": "text", "text": "What is this?"},
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
        },
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    ]
    messages: list[Any] = [{"role": "user", "content": parts}]
    answer = client.chat.completions.create(model="chat", messages=messages)
    assert answer.choices[0].message.content == "What is this?\n[image]\n[audio]"
    asked = upstream.requests[-1].body["messages"][0]["content"]
    assert asked == parts


def test_what_is_ignored_is_named(client: OpenAI) -> None:
    got = client.chat.completions.with_raw_response.create(
        model="chat", messages=user("Hi"), logprobs=True, store=True
    )
    assert got.headers["x-launchpad-ignored"] == "logprobs, store"
