"""Readers of server-sent events that know nothing of OpenAI: curl, httpx, httpx-sse and others."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse, connect_sse

from launchpad.testing import Gate, ScriptedUpstream
from launchpad.testing.server import Server
from launchpad.testing.steps import Chunk, WaitFor

from .conftest import on_upstream
from .javascript import run
from .programs import absent

AWKWARD = "line one\nline two\r\nthird\u2028fourth\u0085fifth\u2029 – data: [DONE]\n\nend 🚀"
"""Where readers that split lines in their own way would break an event."""


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "chat", "messages": [{"role": "user", "content": text}], "stream": True} | more


def text_of(payloads: list[str]) -> str:
    assert payloads[-1] == "[DONE]"
    chunks = [json.loads(payload) for payload in payloads[:-1]]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


def curl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("curl")
    if program is None:
        absent("curl is not installed")
    return subprocess.run(
        [program, "-sS", *arguments], capture_output=True, timeout=60, check=False
    )


def test_document_001_s_curl(server: Server) -> None:
    """No `stream` in the request: the streaming example streams all the same."""
    answer = curl(
        *("-X", "POST", f"{server.base_url}/chat/completions"),
        *("-H", "Content-Type: application/json"),
        *("-d", '{"model": "default", "messages": [{"role": "user", "content": "How are you?"}]}'),
    ).stdout.decode()
    assert answer.endswith("data: [DONE]\n\n")
    said = text_of([line[6:] for line in answer.split("\n") if line.startswith("data: ")])
    words, _, document = said.partition("\n\n")
    assert words == "How are you?"
    assert set(json.loads(document)) == {"thinking", "reply"}


def test_curl_gets_json_where_it_wants_json(server: Server) -> None:
    answer = curl(
        *(f"{server.base_url}/chat/completions", "-H", "Content-Type: application/json"),
        *("-H", "Accept: application/json"),
        *("-d", '{"model": "default", "messages": [{"role": "user", "content": "Hi"}]}'),
    )
    assert json.loads(answer.stdout)["object"] == "chat.completion"


def test_curl_sees_errors_by_status(server: Server) -> None:
    path = f"{server.base_url}/chat/completions"
    failed = curl("--fail", "-d", json.dumps(chat("!status 429")), path)
    assert failed.returncode == 22
    assert b"429" in failed.stderr
    told = curl("-d", json.dumps(chat("Hi", model="gpt-9")), path)
    assert json.loads(told.stdout)["error"]["code"] == "model_not_found"


def test_httpx_sse(server: Server, upstream: ScriptedUpstream) -> None:
    gate = Gate()
    upstream.script(Chunk("early "), WaitFor(gate), Chunk(AWKWARD))
    payloads: list[str] = []
    url = f"{server.base_url}/chat/completions"
    with httpx.Client() as client, connect_sse(client, "POST", url, json=chat("go")) as source:
        for event in source.iter_sse():
            payloads.append(event.data)
            if "early" in event.data:
                gate.wait_reached()
                gate.open()
    assert text_of(payloads) == "early " + AWKWARD


def test_httpx_sse_async(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.script(Chunk(AWKWARD))

    async def main() -> list[str]:
        url = f"{server.base_url}/chat/completions"
        async with (
            httpx.AsyncClient() as client,
            aconnect_sse(client, "POST", url, json=chat("go")) as source,
        ):
            return [event.data async for event in source.aiter_sse()]

    assert text_of(asyncio.run(main())) == AWKWARD


def test_lines_of_httpx(server: Server, upstream: ScriptedUpstream) -> None:
    """httpx splits at every separator that Unicode knows, so none may stand in an event."""
    upstream.script(Chunk(AWKWARD))
    with httpx.stream("POST", f"{server.base_url}/chat/completions", json=chat("go")) as answer:
        lines = list(answer.iter_lines())
    assert text_of([line[6:] for line in lines if line.startswith("data: ")]) == AWKWARD
    assert {line[:6] for line in lines} == {"data: ", ""}


@pytest.fixture(scope="module")
def beating_server(upstream: ScriptedUpstream) -> Any:
    """Its heartbeat comes between the tokens of a model that is slow enough."""
    with on_upstream(upstream, heartbeat=0.02) as running:
        yield running


def test_heartbeats_disturb_no_reader(beating_server: Server) -> None:
    from openai import OpenAI

    request = chat("!pace 0.05\none two three")
    url = f"{beating_server.base_url}/chat/completions"
    with httpx.Client() as client, connect_sse(client, "POST", url, json=request) as source:
        payloads = [event.data for event in source.iter_sse()]
    assert text_of(payloads) == "one two three"
    assert b": ping\n" in httpx.post(url, json=request).content
    with OpenAI(base_url=beating_server.base_url, api_key="any") as openai:
        said = ""
        for chunk in openai.chat.completions.create(**request):
            said += chunk.choices[0].delta.content or ""
    assert said == "one two three"


def test_eventsource_parser(server: Server, beating_server: Server) -> None:
    told = run(
        "eventsource_parser.mjs",
        baseURL=server.base_url,
        beatingURL=beating_server.base_url,
        awkward=AWKWARD,
    )
    assert told["text"] == AWKWARD
    assert told["byteByByte"] == AWKWARD
    assert told["heartbeats"]["text"] == "one two three"
    assert told["heartbeats"]["comments"] > 0


@pytest.mark.local_model
@pytest.mark.timeout(300)
def test_document_001_s_curl_on_the_real_model(local_server: Server) -> None:
    body = {"model": "default", "messages": [{"role": "user", "content": "Hello, how are you?"}]}
    answer = curl(
        *("-N", "-X", "POST", f"{local_server.base_url}/chat/completions"),
        *("-H", "Content-Type: application/json", "-d", json.dumps(body | {"max_tokens": 16})),
    ).stdout.decode()
    assert answer.endswith("data: [DONE]\n\n")
    assert text_of([line[6:] for line in answer.split("\n") if line.startswith("data: ")]).strip()
