"""Answers of another form than OpenAI's: read without what only describes them, or a 502.

Each is read in every way there is: live, by pydantic-ai's own means, in one piece.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic_ai.models import ModelRequestParameters
from tests.models.faults import run
from tests.models.upstream import DONE, STOP, Call, Script, Upstream, chunk, event, text

from launchpad.events import TextDelta
from launchpad.models import build_model
from launchpad.models.agents.streaming_model import live_stream
from launchpad.models.upstream_errors import as_upstream_error, in_stream_error
from launchpad.settings import Settings

COUNTS = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


async def outcome(server: Upstream, way: str) -> object:
    """The answer's text, or the status and code of what it fails with."""
    try:
        if way == "in one piece":
            model = build_model(server.config(), Settings())
            response = await model.request([], None, ModelRequestParameters())
            return response.text
        async with server.agent().run_stream("Hello") as result:
            live = live_stream(result.run_id)
            heard = ""
            if way == "live":
                assert live is not None
                async for one in live.events("Node", structured=False):
                    assert isinstance(one, TextDelta)
                    heard += one.text
            output = await result.get_output()
            assert not heard or heard == output
            return output
    except Exception as error:
        found = as_upstream_error(error)
        if found is None:
            raise
        return found.status, found.code


def outcomes(script: Script) -> object:
    """The one outcome of all ways; each is asked twice, because the second is sent as learnt."""

    async def body(server: Upstream) -> list[object]:
        ways = ("live", "by pydantic-ai", "in one piece") * 2
        return [await outcome(server, way) for way in ways]

    found = run(script, body)
    assert found == found[:1] * 6
    return found[0]


def streaming(*pieces: bytes) -> Script:
    async def script(call: Call) -> None:
        await call.stream(*pieces)

    return script


def said(**parts: Any) -> dict[str, Any]:
    """A chunk of a word, with `parts` in its choice."""
    found = chunk({"content": "c"})
    found["choices"][0].update(parts)
    return found


@pytest.mark.parametrize(
    "part",
    [
        said(delta="x"),
        said(delta=[1]),
        said(delta={"refusal": 5}),
        said(delta={"tool_calls": "x"}),
        said(delta={"tool_calls": [5]}),
        said(delta={"tool_calls": [{"index": 0, "id": "1", "function": 5}]}),
        said(finish_reason={"a": 1}),
        said(finish_reason=["stop"]),
        said(finish_reason=5),
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("first", [True, False])
def test_a_part_of_the_answer_that_cannot_be_read(part: dict[str, Any], first: bool) -> None:
    before = [] if first else text("a", "b")
    assert outcomes(streaming(*before, event(part), STOP, DONE)) == (502, "upstream_error")


@pytest.mark.parametrize(
    "part",
    [
        {**said(), "id": 5},
        {**said(), "model": 5},
        {**said(), "created": "today"},
        {**said(), "created": 1e300},
        {**said(), "usage": 5},
        {**said(), "service_tier": []},
        {**said(), "system_fingerprint": {}},
        {**said(), "moderation": 5},
        {name: value for name, value in said().items() if name in {"object", "choices"}},
        said(logprobs=5),
        said(logprobs={"content": [5]}),
        said(logprobs={"content": [{"token": "a"}]}),
        said(delta={"content": "c", "role": [5]}),
        said(delta={"content": "c", "refusal": False, "tool_calls": ""}),
        said(finish_reason=False),
        said(extra=json.loads("[" * 200 + "]" * 200)),
    ],
    ids=lambda part: json.dumps(part)[-80:],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_only_describes_the_answer_is_left_out(part: dict[str, Any], first: bool) -> None:
    whole = text("a", "b")
    pieces = [event(part), *whole] if first else [*whole, event(part)]
    assert outcomes(streaming(*pieces, STOP, DONE)) == ("cab" if first else "abc")


# What pydantic and pydantic-ai say of counts that are no numbers.
@pytest.mark.filterwarnings("ignore:Failed to extract usage")
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize(
    "counts",
    [
        5,
        [],
        {"total_tokens": 3},
        {**COUNTS, "prompt_tokens_details": 5},
        {**COUNTS, "completion_tokens_details": "x"},
        {**COUNTS, "prompt_tokens_details": {"cached_tokens": "x"}},
        {**COUNTS, "total_tokens": None},
        {**COUNTS, "completion_tokens": "x"},
    ],
    ids=json.dumps,
)
def test_token_counts_of_another_form(counts: object) -> None:
    counted = {**chunk({}), "choices": [], "usage": counts}
    assert outcomes(streaming(*text("a", "b"), STOP, event(counted), DONE)) == "ab"


@pytest.mark.parametrize("depth", [900, 990, 100_000])
@pytest.mark.parametrize("how", ["event", "first event", "whole", "status"])
def test_json_that_is_nested_too_deeply(how: str, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    body = b'{"choices":[{"index":0,"delta":{"content":"c"},"x":%b}],"error":null}' % nested

    async def script(call: Call) -> None:
        if how == "status":
            await call.refuse(400, body)
        elif how == "whole":
            await call.refuse(200, body.replace(b"delta", b"message"))
        else:
            before = text("a") if how == "event" else []
            await call.stream(*before, b"data: " + body + b"\n\n", STOP, DONE)

    async def all_ways(server: Upstream) -> set[object]:
        return {await outcome(server, way) for way in ("live", "by pydantic-ai", "in one piece")}

    found = run(script, all_ways)
    if how == "status":
        assert found == {(400, "upstream_rejected")}
    elif depth == 100_000:
        assert found == {(502, "upstream_error")}
    else:
        # How deep is too deep depends on how deep the reader itself is called.
        assert found <= {(502, "upstream_error"), (502, "upstream_cut"), "ac", "c"}


def test_a_whole_answer_with_half_a_surrogate_pair() -> None:
    message = {"role": "assistant", "content": "ab"}
    body = {"id": "\ud800", "choices": [{"message": message, "finish_reason": "stop"}]}

    async def script(call: Call) -> None:
        await call.refuse(200, body)

    assert outcomes(script) == "ab"


def test_a_whole_answer_by_its_type_in_capitals() -> None:
    message = {"role": "assistant", "content": "ab"}
    data = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()

    async def script(call: Call) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: Application/JSON\r\nContent-Length: %d\r\n\r\n"
        call.writer.write(head % len(data) + data)

    assert outcomes(script) == "ab"


@pytest.mark.parametrize("code", ["²", "9" * 5000, "4²9", 10**30, True, [], {}, 429.0, "", None])
def test_an_error_s_code_that_is_no_status(code: object) -> None:
    found = in_stream_error({"message": "no", "code": code})
    assert (found.status, found.code) == (502, "upstream_error")
    error = event({"error": {"message": "no", "code": code}})
    assert outcomes(streaming(*text("a"), error)) == (502, "upstream_error")


@pytest.mark.parametrize("code", [429, "429", "rate_limit_exceeded"])
def test_an_error_s_code_that_is_one(code: object) -> None:
    found = in_stream_error({"message": "no", "code": code})
    assert (found.status, found.code) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("code", [[], {}, 5, [1], True])
def test_an_error_s_code_that_is_no_text(code: object) -> None:
    async def script(call: Call) -> None:
        await call.refuse(400, {"error": {"message": "no", "code": code}})

    assert outcomes(script) == (400, "upstream_rejected")


ERROR = {"message": "no", "code": 429}


@pytest.mark.parametrize(
    "part",
    [
        [{"error": ERROR}],
        {"code": "rate_limit_exceeded", "message": "no", "request_id": "1"},
        said(error=ERROR),
        said(error=ERROR, finish_reason="error"),
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("first", [True, False])
def test_an_error_in_another_place(part: object, first: bool) -> None:
    before = [] if first else text("a", "b")
    assert outcomes(streaming(*before, event(part), DONE)) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize(
    "end",
    [b"data: [DONE] \n\n", b"data: [done]\n\n", b"data:\n\n" + DONE, b"event: end\ndata: ok\n\n"],
)
def test_an_end_of_another_form(end: bytes) -> None:
    assert outcomes(streaming(*text("a", "b"), STOP, end)) == "ab"


def test_an_event_without_data_is_none() -> None:
    assert outcomes(streaming(b"data: \n\n", *text("a"), b"data:\n\n", *text("b"), STOP)) == "ab"


def test_a_whole_answer_as_the_only_event() -> None:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "ab"},
        "finish_reason": "stop",
    }
    whole = {**chunk({}), "object": "chat.completion", "choices": [choice]}
    assert outcomes(streaming(event(whole), DONE)) == "ab"
    assert outcomes(streaming(*text("a", "b"), event(whole), DONE)) == "ab"
    choice["message"] = {"role": "assistant", "tool_calls": "x"}
    assert outcomes(streaming(event(whole), DONE)) == (502, "upstream_error")


@pytest.mark.parametrize("number", [7, 0, 7.5])
def test_a_number_as_text(number: float) -> None:
    pieces = [*text("a"), event(chunk({"content": number})), *text("b")]
    assert outcomes(streaming(*pieces, STOP)) == f"a{number}b"


def test_a_time_with_a_fraction() -> None:
    pieces = [event({**chunk({"content": word}), "created": 1700000000.25}) for word in "ab"]
    assert outcomes(streaming(*pieces, STOP)) == "ab"


@pytest.mark.parametrize("code", [200, 0, "200", "0", "OK", "ok", "Success", ""])
def test_a_code_that_says_that_all_is_well_is_no_error(code: object) -> None:
    passing = event({"code": code, "message": "ok"})
    assert outcomes(streaming(*text("a"), passing, *text("b"), STOP, DONE)) == "ab"


@pytest.mark.parametrize("code", [500, "500", "InternalError", "²", "9" * 5000])
def test_any_other_code_beside_a_message_is_an_error(code: object) -> None:
    failed = event({"code": code, "message": "no"})
    assert outcomes(streaming(*text("a"), failed, *text("b"), STOP, DONE)) == (
        502,
        "upstream_error",
    )
