"""Document 002's own apps and client, unchanged, beside ours on the same scripted upstream.

What the seed has is in `document_002/`, verbatim: the four apps are the reference for the events
that ours send, and its httpx client reads ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.models_local.conftest import why_no_model

from launchpad.api.app import create_app
from launchpad.settings import Settings
from launchpad.testing import ScriptedUpstream, serve
from launchpad.testing.server import Server
from launchpad.testing.sse import open_stream
from launchpad.testing.steps import Chunk, Die, Hang, Reasoning, Repeat, Status, Step, UsageStep
from launchpad.workflows.workflow_registry import WorkflowRegistry

SEED = Path(__file__).parent / "document_002"
TOKENS = ["Machine", " learning", " is", " “fun”", "\n", "😀", '{"a": 1}\r\n']
SCRIPT = [*map(Chunk, TOKENS), UsageStep(5, len(TOKENS))]
ASKED = "What is machine learning?"
LANGCHAIN = 'pip install "langchain-core>=1.7" "langchain-openai>=1.7"'
# The path, the SDK that the tutorial's app needs, its app, and what ours is asked beside the
# message to run the same model with the same prompt.
HELPFUL = {"system_prompt": "You are a helpful assistant."}
PATHS: dict[str, tuple[str, str, dict[str, str]]] = {
    "/chat/stream": ("openai", "streaming_app", {"model": "chat", **HELPFUL}),
    "/chat/stream-meta": ("openai", "metadata_app", {"model": "gpt-4o-mini"}),
    "/anthropic/stream": ("anthropic", "anthropic_app", {}),
    "/langchain/stream": ("langchain_openai", "langchain_app", {}),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    """Both APIs, and an environment in which everybody finds them."""
    with ScriptedUpstream() as scripted, pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("OPENAI_BASE_URL", scripted.base_url),
            ("OPENAI_API_KEY", "any"),
            ("ANTHROPIC_BASE_URL", scripted.url),
            ("ANTHROPIC_API_KEY", "any"),
        ):
            patch.setenv(name, value)
        yield scripted


@pytest.fixture(scope="module")
def ours(upstream: ScriptedUpstream) -> Iterator[Server]:
    settings = Settings(
        _env_file=None,
        model="openai:gpt-4o-mini",
        debounce=0.0,
        model_aliases={"gpt-4o-mini": "chat"},
    )
    with serve(create_app(WorkflowRegistry, settings)) as server:
        yield server


@pytest.fixture(autouse=True)
def no_leftovers(upstream: ScriptedUpstream) -> Iterator[None]:
    yield
    upstream.clear()


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(PATHS[request.param][0])
    return str(request.param)


# In a process of its own: its clients are global, and never closed.
SERVE = """
import sys
from launchpad.testing import serve
program = {"__name__": "tutorial"}
exec(open(sys.argv[1], encoding="utf-8").read(), program)
with serve(program["app"]) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def tutorial(upstream: ScriptedUpstream) -> Iterator[Callable[[str], str]]:
    """The address of the tutorial's own app for a path."""
    running: dict[str, tuple[subprocess.Popen[str], str]] = {}

    def url(path: str) -> str:
        if path not in running:
            process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(SEED / f"{PATHS[path][1]}.txt")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdout is not None
            running[path] = process, process.stdout.readline().strip()
        return running[path][1] + path

    yield url
    for process, _ in running.values():
        process.communicate(timeout=30)


def client() -> Callable[[str, dict[str, str]], None]:
    """The seed's `test_stream`."""
    namespace: dict[str, Any] = {"__name__": "client"}
    exec(compile((SEED / "client.txt").read_text(encoding="utf-8"), "client", "exec"), namespace)
    return namespace["test_stream"]  # type: ignore[no-any-return]


def post(url: str, **body: Any) -> tuple[httpx.Response, list[dict[str, Any]]]:
    answer = httpx.post(url, json={"message": ASKED} | body, timeout=60)
    assert answer.status_code == 200, answer.text
    lines = [line for line in answer.text.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return answer, [json.loads(line[6:]) for line in lines]


def without_clock(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, **({"latency_ms": 0} if "latency_ms" in event else {})} for event in events]


def test_the_events_are_the_tutorial_s(
    path: str, ours: Server, tutorial: Callable[[str], str], upstream: ScriptedUpstream
) -> None:
    upstream.script(*SCRIPT)
    theirs, expected = post(tutorial(path))
    upstream.script(*SCRIPT)
    answer, events = post(ours.url + path, **PATHS[path][2])
    assert without_clock(events) == without_clock(expected)
    assert all(isinstance(event.get("latency_ms", 0.0), float) for event in [events[-1]])
    for name in ("cache-control", "x-accel-buffering"):
        assert theirs.headers.get(name) in {None, answer.headers[name]}
    assert theirs.headers["content-type"] == answer.headers["content-type"]
    # And so is what the model was asked.
    first, second = (request.body for request in upstream.requests[-2:])
    assert conversation(second) == conversation(first)
    assert second["model"] == first["model"]
    if path == "/anthropic/stream":
        assert second["max_tokens"] == first["max_tokens"]


def conversation(body: dict[str, Any]) -> list[tuple[str, Any]]:
    said = [("system", body["system"])] if "system" in body else []
    for message in body["messages"]:
        content = message["content"]
        if isinstance(content, list):
            content = "".join(part["text"] for part in content)
        said.append((message["role"], content))
    return said


def test_the_tutorial_s_own_prompts_reach_the_model(
    ours: Server, upstream: ScriptedUpstream
) -> None:
    pytest.importorskip("anthropic")
    post(f"{ours.url}/anthropic/stream", system="Be brief.")
    assert upstream.requests[-1].body["system"] == "Be brief."
    post(f"{ours.url}/chat/stream", model="chat")
    assert conversation(upstream.requests[-1].body) == [("user", ASKED)]


def test_an_error_is_the_tutorial_s(
    ours: Server, tutorial: Callable[[str], str], upstream: ScriptedUpstream
) -> None:
    pytest.importorskip("openai")
    upstream.script_all(Status(400, message="too long"))
    for path in ("/chat/stream", "/chat/stream-meta"):
        expected = post(tutorial(path))[1]
        events = post(ours.url + path, **PATHS[path][2])[1]
        assert [event.keys() for event in events] == [event.keys() for event in expected]
        last = events[-1]
        # Theirs is the SDK's exception in words; ours names the node, and no address or key.
        assert last.get("error", last.get("message")) == "ChatNode: too long"
        assert {key: value for key, value in last.items() if key not in {"error", "message"}} == {
            key: value for key, value in expected[-1].items() if key not in {"error", "message"}
        }


@pytest.mark.parametrize(
    "steps", [[Status(400)], [Chunk("Mach"), Die(reset=False)]], ids=["early", "late"]
)
def test_where_the_tutorial_s_stream_breaks_ours_says_so(
    path: str, ours: Server, upstream: ScriptedUpstream, steps: list[Step]
) -> None:
    upstream.script_all(*steps)
    *before, last = post(ours.url + path, **PATHS[path][2])[1]
    assert "".join(event.get("token", "") for event in before) == "Mach" * (len(steps) - 1)
    if path == "/chat/stream-meta":
        assert last == {"event": "error", "message": last["message"]}
    else:
        assert last == {"error": last["error"], "done": True}
    assert "127.0.0.1" not in str(last)


def test_the_tutorial_s_client_reads_ours(
    path: str, ours: Server, upstream: ScriptedUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.script(*SCRIPT)
    test_stream = client()
    test_stream(ours.url + path, {"message": ASKED, **PATHS[path][2]})
    told = "".join(TOKENS)
    # The meta dialect's end has no "done" field, for the tutorial's own app neither.
    end = f"\n\nStream complete. Total: {len(told)} chars\n"
    assert capsys.readouterr().out == told + ("" if path.endswith("-meta") else end)


def test_tokens_leave_as_they_are_made_and_a_client_that_leaves_ends_it(
    path: str, ours: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(Chunk("first"), Hang())
    body = {"message": ASKED, **PATHS[path][2]}
    with open_stream(ours.url + path, body, timeout=30) as stream:
        while json.loads(stream.next_event().data).get("token") != "first":
            pass
        request = upstream.requests[-1]
        assert request.outcome == "answering"
    request.wait_disconnected(10)


def test_a_client_that_leaves_in_a_flood_ends_it_too(
    path: str, ours: Server, upstream: ScriptedUpstream
) -> None:
    # Whatever is asked now is answered so: a request that comes late from elsewhere takes nothing.
    # Long words: LangChain takes its time with each, and the buffers must fill within seconds.
    upstream.script_all(Repeat("word {i} " + "x" * 1000))
    body = {"message": ASKED, **PATHS[path][2]}
    try:
        with open_stream(ours.url + path, body, timeout=30, receive_buffer=4096) as stream:
            while not json.loads(stream.next_event().data).get("token"):
                pass
            # Nothing more is read: every buffer on the way fills, the node's own mailbox too.
            request = upstream.requests[-1]
            request.wait_blocked()
        request.wait_disconnected(10)
    finally:
        upstream.clear()


def test_a_reasoning_model_s_thoughts_are_not_shown(
    path: str, ours: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(Reasoning("hm"), Chunk("well"), UsageStep(1, 2))
    events = post(ours.url + path, **PATHS[path][2])[1]
    assert "".join(event.get("token", "") for event in events) == "well"


def test_tokens_are_the_upstream_s_count(ours: Server, upstream: ScriptedUpstream) -> None:
    upstream.script(Chunk("one event"), UsageStep(5, 17))
    assert post(f"{ours.url}/chat/stream-meta", model="chat")[1][-1]["tokens"] == 17
    pytest.importorskip("langchain_openai")
    upstream.script(Chunk("one event"), UsageStep(5, 18))
    assert post(f"{ours.url}/chat/stream-meta", model="langchain")[1][-1]["tokens"] == 18
    pytest.importorskip("anthropic")
    upstream.script(Chunk("one event"), UsageStep(5, 19))
    assert post(f"{ours.url}/chat/stream-meta", model="anthropic")[1][-1]["tokens"] == 19


def test_the_examples_are_models_like_any_other(ours: Server, upstream: ScriptedUpstream) -> None:
    pytest.importorskip("langchain_openai")
    pytest.importorskip("anthropic")
    for model in ("langchain", "anthropic"):
        upstream.script(*SCRIPT)
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
        answer = httpx.post(f"{ours.url}/v1/chat/completions", json=body, timeout=30).json()
        assert answer["choices"][0]["message"]["content"] == "".join(TOKENS)
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert answer["usage"]["completion_tokens"] == len(TOKENS)


@pytest.mark.parametrize(
    ("path", "hidden", "said"),
    [
        ("/anthropic/stream", "anthropic", 'pip install "pydantic-ai-slim[anthropic]"'),
        ("/anthropic/stream", "", "set ANTHROPIC_API_KEY"),
        ("/langchain/stream", "langchain_core", LANGCHAIN),
        ("/langchain/stream", "langchain_openai", LANGCHAIN),
    ],
)
def test_what_is_missing_is_one_clear_line_and_the_rest_works(
    path: str, hidden: str, said: str, upstream: ScriptedUpstream
) -> None:
    code = f"""
import json, sys, httpx
if {hidden!r}:
    sys.modules[{hidden!r}] = None
from launchpad.testing import serve
from launchpad.workflows.workflow_registry import WorkflowRegistry
with serve(WorkflowRegistry) as server:
    loaded = [name for name in sys.modules if name.startswith("langchain") and name != {hidden!r}]
    answers = [
        httpx.post(server.url + path, json={{"message": "hi", "model": "chat"}}, timeout=30).text
        for path in ({path!r}, "/chat/stream")
    ]
print(json.dumps([loaded, *answers]))
"""
    environment = {**os.environ, "LAUNCHPAD_MODEL": "openai:scripted"}
    if not hidden:
        del environment["ANTHROPIC_API_KEY"]
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    loaded, missing, rest = json.loads(run.stdout)
    assert loaded == []
    answer = json.loads(missing.removeprefix("data: "))
    assert said in answer["error"]
    assert len([line for line in run.stderr.splitlines() if said in line]) == 1
    assert "Traceback" not in run.stderr
    assert rest.endswith('"done": true}\n\n')
    assert '"error"' not in rest


@pytest.mark.local_model
@pytest.mark.timeout(300)
def test_all_four_on_the_model_inside_the_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("anthropic", "langchain_openai"):
        pytest.importorskip(module)
    if reason := why_no_model():
        pytest.skip(reason)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    inside = Settings(_env_file=None, model="local", anthropic_model="local", local_max_tokens=24)
    test_stream = client()
    with serve(create_app(WorkflowRegistry, inside)) as server:
        for path in ("/chat/stream", "/anthropic/stream", "/langchain/stream"):
            test_stream(server.url + path, {"message": "Say hello.", "model": "chat"})
            assert "Stream complete." in capsys.readouterr().out
        for model in ("chat", "anthropic", "langchain"):
            start, *tokens, done = post(
                f"{server.url}/chat/stream-meta", model=model, message="Hi"
            )[1]
            assert start == {"event": "start", "model": model}
            assert len(tokens) > 1
            assert done["tokens"] >= len(tokens) - 1
