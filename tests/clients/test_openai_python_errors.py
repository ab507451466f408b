"""openai-python's exceptions: which one, with which status and code, and its retries."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from launchpad.testing import ScriptedUpstream
from launchpad.testing.server import Server
from launchpad.testing.steps import Chunk, Die, Refusal, Status, Step

from .asks import WEATHER, user
from .conftest import KEY


def test_errors_are_openai_s(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-9", messages=user("Hi"))
    assert missing.value.code == "model_not_found"
    assert missing.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="gpt-4o", input="Hi")
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="chat", messages=[])
    assert bad.value.param == "messages"
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="streaming", messages=user("Hi"), tools=[WEATHER])
    assert refused.value.code == "unsupported_parameter"
    assert refused.value.param == "tools"


@pytest.mark.parametrize("stream", [False, True])
def test_the_upstream_s_failures_keep_their_kind(client: OpenAI, stream: bool) -> None:
    def ask(status: int) -> None:
        client.chat.completions.create(
            model="chat", messages=user(f"!status {status}"), stream=stream
        )

    with pytest.raises(openai.RateLimitError) as limited:
        ask(429)
    assert limited.value.response.headers["retry-after"] == "1"
    for status in (500, 503):
        with pytest.raises(openai.InternalServerError):
            ask(status)


def test_retries_what_may_be_retried(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.script(Status(503, {"Retry-After": "0"}))
    with OpenAI(base_url=server.base_url, api_key="any", max_retries=1) as client:
        answer = client.chat.completions.create(model="chat", messages=user("Hello"))
    assert answer.choices[0].message.content == "Hello"


@pytest.mark.parametrize(
    "steps", [(Refusal("No."),), (Chunk("Sorry, no."),)], ids=["refusal", "prose"]
)
def test_does_not_retry_what_will_come_again(
    server: Server, upstream: ScriptedUpstream, steps: tuple[Step, ...]
) -> None:
    for _ in range(3):
        upstream.script(*steps)
    before = len(upstream.requests)
    with (
        OpenAI(base_url=server.base_url, api_key="any", max_retries=2) as client,
        pytest.raises(openai.InternalServerError) as refused,
    ):
        client.chat.completions.create(
            model="chat",
            messages=user("Hi"),
            stream=True,
            response_format={"type": "json_object"},
            extra_body={"stream_options": {"valid_json_chunks": True}},
        )
    assert refused.value.code == "invalid_output"
    assert len(upstream.requests) - before == 1


def test_a_failure_in_mid_stream_is_an_api_error(
    client: OpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(Chunk("half an"), Die())
    seen = ""

    def read() -> None:
        nonlocal seen
        for chunk in client.chat.completions.create(model="chat", messages=user("go"), stream=True):
            seen += chunk.choices[0].delta.content or ""

    with pytest.raises(openai.APIError):
        read()
    assert seen == "half an"


def test_keys(locked_server: Server) -> None:
    for key in ("wrong", KEY):
        with OpenAI(base_url=locked_server.base_url, api_key=key, max_retries=0) as client:
            if key == KEY:
                assert client.models.list().data
                continue
            with pytest.raises(openai.AuthenticationError) as refused:
                client.chat.completions.create(model="chat", messages=user("Hi"))
            assert refused.value.code == "invalid_api_key"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("data:video/mp4;base64,AAAA", "request: video/mp4."),
        ("data:foo/bar;base64,AAAA", "request: foo/bar."),
        ("data:audio/aiff;base64,AAAA", "request: audio/aiff."),
        ("data:text/csv;base64,6Q==", "as the text that it says it is: text/csv."),
    ],
)
def test_a_file_that_the_model_cannot_be_sent(
    client: OpenAI, url: str, words: str, stream: bool
) -> None:
    content: Any = [{"type": "file", "file": {"file_data": url}}]
    with pytest.raises(openai.BadRequestError) as failure:
        client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": content}], stream=stream
        )
    assert (failure.value.code, failure.value.param) == ("unsupported_file", "messages")
    assert words in failure.value.message


@pytest.mark.parametrize(("status", "code"), [(400, "invalid_request_error"), (500, None)])
def test_a_file_that_was_sent_is_not_blamed(
    client: OpenAI, upstream: ScriptedUpstream, status: int, code: str | None
) -> None:
    upstream.script(Status(status, message="not today"))
    file: Any = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}
    with pytest.raises(openai.APIStatusError) as failure:
        client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": [file]}], stream=True
        )
    assert failure.value.code == (code or "upstream_error")
