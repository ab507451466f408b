"""Document 001's program, unchanged, behind a user's own FastAPI app (tests/typing holds it)."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from launchpad.errors import DefinitionError
from launchpad.testing import ScriptedUpstream, serve
from launchpad.testing.sse import open_stream
from launchpad.testing.steps import Chunk, Hang, Status
from launchpad.utils.event_stream_generator import event_stream_generator

PROGRAM = Path(__file__).parent.parent / "typing" / "document_001.py"
PATH = "/v1/chat/completions"
BODY = {
    "model": "default",
    "messages": [{"role": "user", "content": "Hello, how are you?"}],
}


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("document_001", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedUpstream]:
    for name in ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    with ScriptedUpstream() as scripted:
        monkeypatch.setenv("OPENAI_BASE_URL", scripted.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "any")
        yield scripted


def chunks_of(text: str) -> list[dict[str, Any]]:
    assert text.endswith("data: [DONE]\n\n")
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines[:-1]]


def test_streams_both_nodes(program: ModuleType, upstream: ScriptedUpstream) -> None:
    said = '{"thinking": "well", "reply": "fine"}'
    upstream.script(Chunk("I'm"), Chunk(" fine"))
    upstream.script(*[Chunk(said[i : i + 5]) for i in range(0, len(said), 5)])
    with serve(program.app) as server:
        answer = httpx.post(server.url + PATH, json=BODY, timeout=30)
    assert answer.headers["content-type"].startswith("text/event-stream")
    words: dict[str, str] = {}
    for chunk in chunks_of(answer.text):
        node = chunk.get("launchpad", {}).get("node", "")
        words[node] = words.get(node, "") + chunk["choices"][0]["delta"].get("content", "")
    assert words["TextStreamingNode"] == "I'm fine"
    assert json.loads(words["StructuredStreamingNode"]) == {"thinking": "well", "reply": "fine"}
    asked = [request.body for request in upstream.requests]
    assert [body["model"] for body in asked] == ["gpt-5.4-mini", "gpt-5.4-mini"]
    assert asked[1]["response_format"]["type"] == "json_schema"


def test_the_client_s_leaving_closes_the_upstream(
    program: ModuleType, upstream: ScriptedUpstream
) -> None:
    upstream.script(Chunk("Hello"), Hang())
    with serve(program.app) as server:
        with open_stream(server.url + PATH, BODY) as stream:
            assert "Hello" not in stream.next_event(timeout=10).data
            assert "Hello" in stream.next_event(timeout=10).data
        upstream.requests[0].wait_disconnected(10)


def test_a_failure_is_an_error_event_because_the_head_has_gone(
    program: ModuleType, upstream: ScriptedUpstream
) -> None:
    upstream.script(Status(429))
    with serve(program.app) as server:
        answer = httpx.post(server.url + PATH, json=BODY, timeout=30)
    assert answer.status_code == 200
    (line,) = [line for line in answer.text.splitlines() if line]
    assert json.loads(line.removeprefix("data: "))["error"]["code"] == "rate_limit_exceeded"


def test_an_abandoned_generator_ends_its_run_without_aclose(
    program: ModuleType, upstream: ScriptedUpstream
) -> None:
    async def main() -> None:
        upstream.script(Chunk("Hello"), Hang())
        workflow = program.StreamingExampleWorkflow(enable_tracing=True)
        generator = event_stream_generator(workflow.run_stream_async(BODY))
        while b"Hello" not in await anext(generator):
            pass
        del generator
        gc.collect()
        await asyncio.to_thread(upstream.requests[0].wait_disconnected, 10)

    asyncio.run(main())


def test_what_is_no_stream_of_a_run_is_refused(program: ModuleType) -> None:
    async def words() -> AsyncIterator[str]:
        yield "word"

    async def later() -> None: ...

    wrong: list[Any] = [words(), later(), program.StreamingExampleWorkflow()]
    for one in wrong:
        with pytest.raises(DefinitionError, match=r"run_stream_async\(event\)\), without await"):
            event_stream_generator(one)


def test_tracing_without_keys_warns_once_a_process(upstream: ScriptedUpstream) -> None:
    code = f"""
import asyncio, importlib.util, logging
logging.basicConfig(format="%(message)s")
spec = importlib.util.spec_from_file_location("document_001", {str(PROGRAM)!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
for _ in range(2):
    module.StreamingExampleWorkflow(enable_tracing=True).run({BODY!r})
"""
    said = '{"thinking": "", "reply": ""}'
    upstream.script_all(Chunk(said))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    (line,) = done.stderr.splitlines()
    assert "LANGFUSE_PUBLIC_KEY" in line
