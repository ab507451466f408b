"""Our reader and pydantic-ai's own, over the same bytes: equal results.

Recorded and generated streams; each is served to `OpenAIChatModel` with the SDK's client, and to
ours, read live and not. Output, messages, usage and finish reason must be the same.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from tests.models.test_thinking_tags import in_full
from tests.models.upstream import (
    DONE,
    STOP,
    Call,
    Upstream,
    chunk,
    event,
    text,
    tool_call,
    upstream,
    usage,
)

from launchpad.events import Delta, ReasoningDelta, TextDelta, Usage
from launchpad.models import aclose_clients, build_model
from launchpad.models.agents.streaming_model import StreamingModel, live_stream
from launchpad.models.live.chat import ChatLive
from launchpad.models.live.stream import Names
from launchpad.models.openai_compatible.client import listen, stop_listening
from launchpad.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMMON = {"created": 1763618733, "id": "chatcmpl-x", "model": "m"}
LLAMA = tuple(
    json.dumps({**body, **COMMON, "object": "chat.completion.chunk"}, separators=(",", ":"))
    for body in (
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]},
        {"choices": [{"finish_reason": None, "index": 0, "delta": {"content": "Hi"}}]},
        {"choices": [{"finish_reason": None, "index": 0, "delta": {"content": " there"}}], "x": 1},
        {"choices": [{"finish_reason": None, "index": 0, "delta": {"content": "!"}}], "x": 1},
        {"choices": [{"finish_reason": "stop", "index": 0, "delta": {}}]},
        {
            "choices": [],
            "usage": {"completion_tokens": 2, "prompt_tokens": 9, "total_tokens": 11},
            "timings": {"predicted_ms": 3.1},
        },
    )
)
PADDED = tuple(
    json.dumps(chunk({"content": word}, obfuscation=pad, usage=None, service_tier="default"))
    for word, pad in [("", "q1"), ("It", "w"), (" is", "e3r"), (" so", "")]
)
LOGPROBS = chunk({"content": "x"})
LOGPROBS["choices"][0]["logprobs"] = {
    "content": [{"token": "x", "logprob": -0.1, "bytes": [120], "top_logprobs": []}],
    "refusal": None,
}


def counted(**counts: Any) -> bytes:
    given = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None, **counts}
    return event({**chunk({}), "choices": [], "usage": given})


STREAMS: dict[str, Sequence[bytes]] = {
    "text": [*text("Hello", " ", "world"), STOP, usage(5, 3), DONE],
    "llama.cpp": [*(event(one) for one in LLAMA), DONE],
    "openai with padding": [*(event(one) for one in PADDED), STOP, usage(5, 3), DONE],
    "finish with the text": [*text("a"), event(chunk({"content": "b"}, "length")), DONE],
    "reasoning": [
        event(chunk({"reasoning_content": "hm"})),
        event(chunk({"reasoning_content": "."})),
        *text("a", "b"),
        STOP,
        DONE,
    ],
    "reasoning between": [
        *text("a", "b"),
        event(chunk({"reasoning": "hm"})),
        *text("c", "d")[1:],
        STOP,
        DONE,
    ],
    "thinking tags": [*text("<think>", "h", "m", "</think>", "a", "b"), STOP, DONE],
    "a tool call": [
        *text("I'll look."),
        event(chunk(tool_call(0, id="1", name="f", arguments=""))),
        event(chunk(tool_call(0, arguments='{"a":'))),
        event(chunk(tool_call(0, arguments="1}"))),
        event(chunk(tool_call(1, id="2", name="g", arguments="{}"))),
        event(chunk({}, "tool_calls")),
        usage(1, 2),
        DONE,
    ],
    "logprobs": [*text("a"), event(LOGPROBS), *text("b")[1:], STOP, DONE],
    "a refusal": [event(chunk({"refusal": "No"})), event(chunk({"refusal": "!"})), STOP, DONE],
    "no done": [*text("a"), STOP],
    "no finish": [*text("a"), DONE],
    "no role": [*text("a", "b")[1:], STOP, DONE],
    "another model": [*text("a"), event({**chunk({"content": "b"}), "model": "other"}), STOP, DONE],
    "content parts": [event(chunk({"content": [{"type": "text", "text": "a"}]})), STOP, DONE],
    # In every chunk: `test_usage_again.py`.
    "usage beside words": [
        event(chunk({"content": "a"})),
        event(
            chunk(
                {"content": "b"},
                usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            )
        ),
        STOP,
        DONE,
    ],
    "usage of nulls": [*text("a", "b"), STOP, counted(), DONE],
    "comments and CRLF": [
        b": ping\r\n\r\n",
        *(one.replace(b"\n", b"\r\n") for one in [*text("a", "b"), STOP, DONE]),
    ],
}


THINKING = [
    ["<think>", "hm", "</think>\n\n", "ans"],
    ["<think>", "hm</think>ans"],
    ["<think>\n", "hm", "\n</think>\n\n", "ans"],
    ["ans ", "<think>", " is a tag"],
    ["\n", "<", "thi", "nk>h", "m<", "/think", ">", "<think>", "!</think>a", "ns"],
    ["<think>hm", " <think>", "</th", "ink"],
]
"""Answers with tags of thinking as no reader of pydantic-ai's takes them."""


def thinking(seed: int) -> list[str]:
    """A generated answer with thinking, in generated cuts."""
    dice = random.Random(seed)
    words = ["<think>", "</think>", "<", "</think", "ink>", "hm ", "\n", "ans", '"', "é"]
    answer = "".join(dice.choices(words, k=dice.randrange(1, 14)))
    if dice.random() < 0.7:
        answer = dice.choice(["", "\n", "\n\n "]) + "<think>" + answer
    cuts = sorted({dice.randrange(len(answer) + 1) for _ in range(dice.randrange(9))})
    return [answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True) if a < b]


def generated(seed: int) -> list[bytes]:
    dice = random.Random(seed)
    kinds = [
        lambda: text(dice.choice(["a", " b", "\n", '"', "é😀", "\\", "\u2028"]))[1],
        lambda: text("word ")[1],
        lambda: event(chunk({"reasoning_content": "r"})),
        lambda: event(chunk({"content": "x"}, obfuscation="o" * dice.randrange(9))),
        lambda: event(chunk(tool_call(dice.randrange(2), name=None, arguments="1"))),
        lambda: b": comment\n\n",
        lambda: event(LOGPROBS),
    ]
    body = [
        event(chunk(tool_call(0, id="t0", name="f", arguments=""))),
        event(chunk(tool_call(1, id="t1", name="g", arguments=""))),
        *(dice.choice(kinds)() for _ in range(dice.randrange(1, 40))),
    ]
    return [text("first")[1], *body, STOP, usage(3, dice.randrange(9)), DONE]


STREAMS.update({f"generated {seed}": generated(seed) for seed in range(25)})


def plain(response: ModelResponse) -> ModelResponse:
    """Without the clock's part."""
    details = {k: v for k, v in (response.provider_details or {}).items() if k != "timestamp"}
    return replace(response, timestamp=NOW, provider_details=details)


async def read(model: Model) -> ModelResponse:
    async with model.request_stream([], None, ModelRequestParameters()) as response:
        async for _ in response:
            pass
    return plain(response.get())


async def read_live(model: Model) -> tuple[list[Delta], ModelResponse]:
    opened = listen()
    async with model.request_stream([], None, ModelRequestParameters()) as response:
        stop_listening()
        assert opened.stream is not None
        live = ChatLive(opened.stream, Names())
        heard = [one async for one in live.events("N", structured=False)]
        async for _ in response:
            pass
    return heard, plain(response.get())


def both(server: Upstream) -> tuple[OpenAIChatModel, Model]:
    provider = OpenAICompatibleProvider(
        "compatible",
        base_url=server.url,
        api_key="k",
        profile=OpenAIProvider.model_profile,
    )
    return OpenAIChatModel("scripted", provider=provider), build_model(server.config(), Settings())


def joined(heard: Sequence[Delta], kind: type[TextDelta] | type[ReasoningDelta]) -> str:
    return "".join(one.text for one in heard if isinstance(one, kind))


# What pydantic-ai says of the counts that are null.
@pytest.mark.filterwarnings("ignore:Failed to extract usage")
@pytest.mark.parametrize("cut", [0, 5])
@pytest.mark.parametrize("name", STREAMS)
def test_the_same_response(name: str, cut: int) -> None:
    whole = b"".join(STREAMS[name])

    async def script(call: Call) -> None:
        size = len(whole) // cut + 1 if cut else len(whole)
        await call.start()
        for start in range(0, len(whole), size):
            await call.send(whole[start : start + size])
            await asyncio.sleep(0.001)
        await call.end()

    async def main() -> None:
        async with upstream(script) as server:
            sdk, ours = both(server)
            async with sdk:
                wanted = await read(sdk)
            assert await read(ours) == wanted
            heard, behind = await read_live(ours)
            assert behind == wanted
            texts = [part.content for part in wanted.parts if isinstance(part, TextPart)]
            thoughts = [part.content for part in wanted.parts if isinstance(part, ThinkingPart)]
            assert joined(heard, TextDelta) == "".join(texts)
            assert joined(heard, ReasoningDelta) == "".join(thoughts)
            await aclose_clients()

    asyncio.run(main())


@pytest.mark.parametrize(("first", "size"), [(0, 0), (1, 40)])
@pytest.mark.parametrize("pieces", [*THINKING, *map(thinking, range(15))], ids=repr)
def test_thinking_in_any_cuts(pieces: list[str], first: int, size: int) -> None:
    """`first`: whether a chunk with the role comes before the first text, or has it."""
    text_wanted, thought_wanted = in_full("".join(pieces))
    sent = b"".join([*text(*pieces)[1 - first :], STOP, usage(5, 3), DONE])

    async def script(call: Call) -> None:
        await call.start()
        for start in range(0, len(sent), size or len(sent)):
            await call.send(sent[start : start + (size or len(sent))])
            await asyncio.sleep(0)
        await call.end()

    async def main() -> None:
        async with upstream(script) as server:
            ours = both(server)[1]
            heard, behind = await read_live(ours)
            assert await read(ours) == behind
            assert joined(heard, TextDelta) == content(behind, TextPart) == text_wanted
            assert joined(heard, ReasoningDelta) == content(behind, ThinkingPart) == thought_wanted
            for _ in range(2):
                # The second request goes the short way of what was learnt from the first.
                async with server.agent().run_stream("Hi") as result:
                    live = live_stream(result.run_id)
                    assert live is not None
                    said = [one async for one in live.events("N", structured=False)]
                    assert await result.get_output() == text_wanted
                assert joined(said, TextDelta) == text_wanted
                assert joined(said, ReasoningDelta) == thought_wanted
                assert content(result.response, ThinkingPart) == thought_wanted
            await aclose_clients()

    asyncio.run(main())


def test_tags_in_chunks_of_their_own_are_read_as_pydantic_ai_does() -> None:
    pieces = ["<think>", "\nhm", "\n", "</think>", "\n\n", "<think>", "!", "</think>", "\n", "ans"]

    async def script(call: Call) -> None:
        await call.stream(*text(*pieces), STOP, DONE)

    async def main() -> None:
        async with upstream(script) as server:
            sdk, ours = both(server)
            async with sdk:
                wanted = await read(sdk)
            heard, behind = await read_live(ours)
            assert content(behind, ThinkingPart) == content(wanted, ThinkingPart) == "\nhm\n!"
            # White space behind the last tag is kept, and dropped before one.
            assert content(wanted, TextPart) == "\n\n\nans"
            assert joined(heard, TextDelta) == content(behind, TextPart) == "\nans"
            await aclose_clients()

    asyncio.run(main())


def test_white_space_at_the_start_is_dropped_where_the_profile_says_so() -> None:
    async def script(call: Call) -> None:
        await call.stream(*text("\n", "\n", "a", " ", "b"), STOP, DONE)

    async def main() -> None:
        async with upstream(script) as server:
            from launchpad.models.config import ModelProvider

            profile = ModelProfile(ignore_streamed_leading_whitespace=True)
            provider = OpenAIProvider(base_url=server.url, api_key="k")
            sdk = OpenAIChatModel("qwen3", provider=provider, profile=profile)
            ours = build_model(
                server.config(model_provider=ModelProvider.OLLAMA, model_name="qwen3"), Settings()
            )
            async with sdk:
                wanted = await read(sdk)
            heard, behind = await read_live(ours)
            assert [part.content for part in behind.parts if isinstance(part, TextPart)] == ["a b"]
            assert [part for part in wanted.parts if isinstance(part, TextPart)] == [
                TextPart("a b")
            ]
            assert joined(heard, TextDelta) == "a b"
            await aclose_clients()

    asyncio.run(main())


@pytest.mark.parametrize(
    "name", [name for name in STREAMS if not name.startswith(("generated", "usage"))]
)
def test_a_request_that_is_not_streamed_gets_what_the_stream_says(name: str) -> None:
    async def script(call: Call) -> None:
        await call.stream(*STREAMS[name])

    async def main() -> None:
        async with upstream(script) as server:
            sdk, ours = both(server)
            async with sdk:
                wanted = await read(sdk)
            got = await ours.request([], None, ModelRequestParameters())
            assert server.calls[-1].body["stream"] is True
            assert got.usage == wanted.usage
            assert got.finish_reason == wanted.finish_reason
            for kind in (TextPart, ThinkingPart):
                assert content(got, kind) == content(wanted, kind)
            assert calls(got) == calls(wanted)
            await aclose_clients()

    asyncio.run(main())


def content(response: ModelResponse, kind: Any) -> str:
    return "".join(part.content for part in response.parts if isinstance(part, kind))


def calls(response: ModelResponse) -> list[tuple[str, Any, str]]:
    return [
        (part.tool_name, part.args, part.tool_call_id)
        for part in response.parts
        if isinstance(part, ToolCallPart)
    ]


@pytest.mark.filterwarnings("ignore:Failed to extract usage")
@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([counted()], None),
        ([counted(prompt_tokens_details=None, completion_tokens_details=None)], None),
        ([counted(prompt_tokens=5, completion_tokens=3), counted()], Usage(5, 3)),
        ([usage(5, 3)], Usage(5, 3, 2, 1)),
        ([], None),
    ],
    ids=["nulls", "nulls within", "counts and nulls", "counts", "nothing"],
)
def test_nulls_are_no_counts(sent: list[bytes], expected: Usage | None) -> None:
    async def script(call: Call) -> None:
        await call.stream(*text("a"), STOP, *sent, DONE)

    async def main() -> None:
        async with upstream(script) as server:
            sdk, ours = both(server)
            found: list[Usage | None] = []
            async with sdk:
                for model in (StreamingModel(sdk), StreamingModel(ours), StreamingModel(ours)):
                    async with Agent(model).run_stream("Hi") as result:
                        live = live_stream(result.run_id)
                        assert live is not None
                        async for _ in live.events("N", structured=False):
                            pass
                        await result.get_output()
                    found.append(live.usage)
            assert found == [expected] * 3
            await aclose_clients()

    asyncio.run(main())


def test_messages_of_a_run_are_the_same() -> None:
    async def script(call: Call) -> None:
        await call.stream(*STREAMS["text"])

    async def main() -> None:
        async with upstream(script) as server:
            sdk, ours = both(server)
            found: list[Any] = []
            async with sdk:
                for model in (sdk, StreamingModel(ours), StreamingModel(sdk)):
                    async with Agent(model, name="x").run_stream("Hi") as result:
                        live = live_stream(result.run_id)
                        if live is not None:
                            async for _ in live.events("N", structured=False):
                                pass
                        output = await result.get_output()
                    shape = [
                        [(part.part_kind, getattr(part, "content", None)) for part in message.parts]
                        for message in result.all_messages()
                    ]
                    found.append((output, shape, result.usage))
            assert found[0] == found[1] == found[2]
            assert server.calls[0].body == server.calls[1].body == server.calls[2].body
            await aclose_clients()

    asyncio.run(main())
