"""An upstream that misbehaves, over a real socket: what `as_upstream_error` makes of each fault."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest
from pydantic_ai import Agent, BinaryContent
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.test import TestModel
from tests.models.faults import (
    QUICK,
    SLOW,
    comments_forever,
    fail,
    failure_of,
    never,
    run,
    silent,
    silent_after_head,
    stalls,
)
from tests.models.upstream import (
    DONE,
    STOP,
    Call,
    Script,
    Upstream,
    chunk,
    event,
    text,
)

from launchpad.errors import RequestError, UpstreamError, UpstreamTimeoutError
from launchpad.events import TextDelta
from launchpad.models import build_model
from launchpad.models.agents.streaming_model import StreamingModel, live_stream
from launchpad.models.upstream_errors import as_upstream_error
from launchpad.settings import Settings


@pytest.mark.parametrize(
    ("status", "error", "headers", "wanted"),
    [
        (401, {"message": "Incorrect API key: sk-abc123456"}, [], (502, "upstream_authentication")),
        (403, {"message": "no"}, [], (502, "upstream_authentication")),
        (402, {"message": "pay"}, [], (502, "upstream_quota_exceeded")),
        (404, {"message": "no such model"}, [], (502, "upstream_model_not_found")),
        (429, {"message": "slow down"}, ["Retry-After: 7"], (429, "rate_limit_exceeded")),
        (
            429,
            {"message": "pay", "code": "insufficient_quota"},
            [],
            (502, "upstream_quota_exceeded"),
        ),
        (
            400,
            {"message": "too long", "code": "context_length_exceeded"},
            [],
            (400, "context_length_exceeded"),
        ),
        (422, {"message": "bad top_p"}, [], (400, "upstream_rejected")),
        (400, {"message": "bad top_p", "code": 400}, [], (400, "upstream_rejected")),
        (400, {"message": "bad top_p", "code": "400"}, [], (400, "upstream_rejected")),
        (
            400,
            {"code": 400, "message": "too many tokens", "type": "exceed_context_size_error"},
            [],
            (400, "context_length_exceeded"),
        ),
        (
            400,
            {"message": "This model's maximum context length is 8 tokens."},
            [],
            (400, "context_length_exceeded"),
        ),
        (
            500,
            {"code": 500, "message": "image input is not supported - hint: provide the mmproj"},
            [],
            (400, "unsupported_content"),
        ),
        (400, {"message": "unsupported content[].type"}, [], (400, "unsupported_content")),
        (500, {"message": "oops"}, [], (502, "upstream_error")),
        (503, {"message": "busy"}, ["Retry-After: 3"], (502, "upstream_error")),
    ],
)
def test_error_statuses(
    status: int, error: dict[str, Any], headers: list[str], wanted: tuple[int, str]
) -> None:
    async def script(call: Call) -> None:
        await call.refuse(status, {"error": error}, *headers)

    found, heard = fail(script)
    assert (found.status, found.code) == wanted
    assert found.retry_after == (float(headers[0].split()[1]) if headers else None)
    assert "sk-" not in found.public_message
    assert heard == []


def test_the_upstreams_words_are_shown_where_they_are_about_the_request() -> None:
    async def script(call: Call) -> None:
        await call.refuse(400, {"error": {"message": "top_p must be below 1", "type": "x"}})

    assert str(fail(script)[0]) == "top_p must be below 1"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        # Google's OpenAI-compatible server.
        ([{"error": {"message": "bad top_p", "code": 400, "status": "INVALID_ARGUMENT"}}], True),
        ([{"error": "bad top_p"}], True),
        ({"error": "bad top_p"}, True),
        ({"message": "bad top_p"}, True),
        ({"detail": "bad top_p"}, True),
        ({"detail": [{"msg": "bad top_p", "loc": ["body"]}]}, False),
        ([], False),
        (["bad top_p"], False),
        ({"error": ["bad top_p"]}, False),
        # A proxy's page is none of the client's.
        (b"<h1>bad top_p</h1>", False),
        ({"error": "bad key sk-proj-abcdef123456"}, False),
        ([{"error": {"message": "see http://10.0.0.1/help"}}], False),
    ],
)
def test_where_an_error_body_has_its_words(body: object, shown: bool) -> None:
    async def script(call: Call) -> None:
        await call.refuse(400, body)

    found, _ = fail(script)
    assert (found.status, found.code) == (400, "upstream_rejected")
    assert str(found) == ("bad top_p" if shown else "The model provider rejected the request.")


@pytest.mark.parametrize("how", ["status", "whole", "event", "event after a word"])
@pytest.mark.parametrize(
    ("code", "message", "wanted"),
    [
        (400, "top_p must be in (0, 1]", (400, "upstream_rejected")),
        (400, "maximum context length is 8 tokens", (400, "context_length_exceeded")),
        (500, "oops", (502, "upstream_error")),
    ],
)
def test_vllm_s_older_error_body(
    how: str, code: int, message: str, wanted: tuple[int, str]
) -> None:
    body = {"object": "error", "message": message, "type": "X", "param": None, "code": code}

    async def script(call: Call) -> None:
        if how == "status":
            await call.refuse(code, body)
        elif how == "whole":
            await call.refuse(200, body)
        else:
            said = text("a") if how == "event after a word" else []
            await call.stream(*said, event(body), DONE)

    found, heard = fail(script)
    assert (found.status, found.code) == wanted
    assert str(found) == (message if code == 400 else "The model provider failed.")
    assert heard == (["a"] if how == "event after a word" else [])


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("messages", "messages"),
        ("messages[1].content", "messages[1].content"),
        (None, None),
        ("", None),
        (7, None),
        ("see http://10.0.0.1/help", None),
        ("x" * 65, None),
        ("messages\n", None),
    ],
)
def test_which_parameter_was_rejected(said: object, shown: str | None) -> None:
    async def script(call: Call) -> None:
        await call.refuse(400, {"error": {"message": "no", "code": "bad", "param": said}})

    found, _ = fail(script)
    assert (found.code, found.param) == ("bad", shown)


@pytest.mark.parametrize(
    "words",
    [
        "see http://10.0.0.1/help",
        "connect to db.internal:5432 failed",
        "no file /srv/models/llama.gguf",
        "bad key sk-proj-abcdef123456",
        "127.0.0.1 refused",
        "x" * 1000,
    ],
)
def test_words_that_tell_too_much_are_not_shown(words: str) -> None:
    async def script(call: Call) -> None:
        await call.refuse(400, {"error": {"message": words}})

    assert str(fail(script)[0]) == "The model provider rejected the request."


def test_a_retry_date() -> None:
    async def script(call: Call) -> None:
        await call.refuse(429, {}, "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT")

    found, _ = fail(script)
    assert found.retry_after is not None
    assert found.retry_after > 1e6


def test_an_error_page_that_is_no_json() -> None:
    async def script(call: Call) -> None:
        await call.refuse(502, b"<html>Bad gateway</html>")

    found, _ = fail(script)
    assert (found.status, str(found)) == (502, "The model provider failed.")


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    ("rest", "wanted"),
    [
        ([], (502, "upstream_cut")),
        ([b"data: {half"], (502, "upstream_cut")),
        ([b'data: {"choices": oops\n\n'], (502, "upstream_error")),
        ([event({"error": {"message": "no", "code": 429}})], (429, "rate_limit_exceeded")),
        ([event({"error": {"message": "no"}})], (502, "upstream_error")),
    ],
)
def test_a_stream_that_goes_wrong(rest: list[bytes], wanted: tuple[int, str], live: bool) -> None:
    async def script(call: Call) -> None:
        await call.stream(*text("a", "b"), *rest)

    found, heard = fail(script, live=live)
    assert (found.status, found.code) == wanted
    if live:
        assert heard == ["a", "b"]


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource"])
@pytest.mark.parametrize("how", ["streamed", "whole"])
def test_an_answer_that_its_server_gave_up(how: str, reason: str, live: bool) -> None:
    async def script(call: Call) -> None:
        if how == "streamed":
            await call.stream(*text("a"), event(chunk({"content": "b"}, reason)), DONE)
        else:
            message = {"role": "assistant", "content": "ab"}
            await call.refuse(200, {"choices": [{"message": message, "finish_reason": reason}]})

    found, heard = fail(script, live=live)
    assert (found.status, found.code) == (502, "upstream_cut")
    assert found.detail == f"its finish reason is {reason!r}"
    if live:
        assert "".join(heard) == "ab"


@pytest.mark.parametrize("reason", ["model_length", "max_tokens"])
def test_an_answer_that_is_cut_by_length_in_other_words(reason: str) -> None:
    async def script(call: Call) -> None:
        await call.stream(*text("a"), event(chunk({}, reason)), DONE)

    async def body(server: Upstream) -> object:
        async with server.agent().run_stream("Hello") as result:
            live = live_stream(result.run_id)
            assert live is not None
            assert [one async for one in live.events("Node", structured=False)]
            return live.finish_reason

    assert run(script, body) == "length"


@pytest.mark.parametrize("live", [True, False])
def test_a_reset_right_behind_the_first_token(live: bool) -> None:
    async def script(call: Call) -> None:
        await call.start()
        sock = call.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await call.send(b"".join(text("a")))
        call.writer.transport.abort()

    found, heard = fail(script, live=live)
    assert (found.status, found.code) == (502, "upstream_cut")
    assert heard == (["a"] if live else [])


def test_an_error_before_the_first_token() -> None:
    async def script(call: Call) -> None:
        await call.stream(event({"error": {"message": "later", "type": "rate_limit_error"}}))

    assert fail(script)[0].status == 429


def test_a_connection_that_closes_before_the_head() -> None:
    async def script(call: Call) -> None:
        call.writer.close()

    assert fail(script)[0].status == 502


def test_nobody_listens() -> None:
    async def body(server: Upstream) -> UpstreamError:
        class Nowhere(Upstream):
            pass

        return await failure_of(Nowhere(1), SLOW, [])

    found = run(never, body)
    assert (found.status, str(found)) == (502, "The model provider could not be reached.")


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    ("script", "words", "heard"),
    [
        (silent, "no token within 0.2 s", []),
        (silent_after_head, "no token within 0.2 s", []),
        (stalls, "paused for more than 0.2 s", ["a", "b"]),
        (comments_forever, "paused for more than 0.2 s", ["a"]),
    ],
)
def test_a_silent_upstream(script: Script, words: str, heard: list[str], live: bool) -> None:
    found, got = fail(script, QUICK, live=live)
    assert isinstance(found, UpstreamTimeoutError)
    assert found.status == 504
    if live:
        assert words in str(found)
        assert got == heard


def test_a_slow_reader_is_not_a_silent_upstream() -> None:
    async def script(call: Call) -> None:
        await call.stream(*text("a"))

    async def slow(call: Call) -> None:
        await call.start()
        await call.send(b"".join(text("a")))
        await asyncio.sleep(0.1)
        await call.send(text("b")[1] + STOP + DONE)
        await call.end()

    async def body(server: Upstream) -> list[str]:
        got: list[str] = []
        async with server.agent(QUICK).run_stream("Hello") as result:
            live = live_stream(result.run_id)
            assert live is not None
            async for one in live.events("Node", structured=False):
                assert isinstance(one, TextDelta)
                got.append(one.text)
                await asyncio.sleep(0.5)
        return got

    assert run(slow, body) == ["a", "b"]


def test_a_finished_answer_without_the_end_of_its_body() -> None:
    async def script(call: Call) -> None:
        await call.start()
        await call.send(b"".join([*text("a"), STOP]))
        call.writer.close()

    async def body(server: Upstream) -> str:
        async with server.agent().run_stream("Hello") as result:
            return str(await result.get_output())

    assert run(script, body) == "a"


def test_done_without_its_blank_line() -> None:
    async def script(call: Call) -> None:
        await call.stream(*text("a"), b"data: [DONE]")

    async def body(server: Upstream) -> str:
        async with server.agent().run_stream("Hello") as result:
            return str(await result.get_output())

    assert run(script, body) == "a"


def test_an_answer_that_is_not_streamed() -> None:
    body_sent = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "whole"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }

    async def script(call: Call) -> None:
        await call.refuse(200, body_sent)

    async def body(server: Upstream) -> tuple[str, int]:
        async with server.agent().run_stream("Hello") as result:
            return str(await result.get_output()), result.usage.output_tokens

    assert run(script, body) == ("whole", 2)


def test_fallback_takes_over_before_the_first_token() -> None:
    async def script(call: Call) -> None:
        if call.body["model"] == "first":
            await call.refuse(503, {"error": {"message": "busy"}})
        else:
            await call.stream(*text("b", "c"), STOP, DONE)

    async def body(server: Upstream) -> list[Any]:
        models = [
            build_model(server.config(model_name=name), Settings()) for name in ("first", "second")
        ]
        agent = Agent(StreamingModel(FallbackModel(*models)))
        async with agent.run_stream("Hello") as result:
            live = live_stream(result.run_id)
            assert live is not None
            return [one async for one in live.events("Node", structured=False)]

    assert run(script, body) == [TextDelta("Node", "b"), TextDelta("Node", "c")]


def test_when_all_fallbacks_fail_the_last_says_why() -> None:
    async def script(call: Call) -> None:
        status = 503 if call.body["model"] == "first" else 429
        await call.refuse(status, {"error": {"message": "busy"}}, "Retry-After: 4")

    async def body(server: Upstream) -> UpstreamError | None:
        models = [
            build_model(server.config(model_name=name), Settings()) for name in ("first", "second")
        ]
        try:
            async with Agent(StreamingModel(FallbackModel(*models))).run_stream("Hello"):
                pass
        except Exception as error:  # noqa: BLE001
            return as_upstream_error(error)
        return None

    found = run(script, body)
    assert (found.status, found.retry_after) == (429, 4.0)


# Leaving


class Broken(TestModel):
    """Fails for a reason of its own."""

    def request_stream(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("model", "kind", "words"), [(None, RequestError, "video/mp4"), (Broken(), RuntimeError, "bug")]
)
def test_an_agent_s_file_that_its_model_cannot_be_sent(
    model: Broken | None, kind: type[Exception], words: str
) -> None:
    async def body(server: Upstream) -> None:
        agent = server.agent() if model is None else Agent(StreamingModel(model))
        async with agent.run_stream(["See", BinaryContent(b"..", media_type="video/mp4")]):
            pass

    with pytest.raises(kind, match=words):
        run(never, body)
