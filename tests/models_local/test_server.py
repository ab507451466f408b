"""The model's process: it answers, streams, obeys a schema, and comes and goes as it should."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from launchpad.errors import ConfigurationError
from launchpad.models.local.server import MODEL_NAME, LocalEndpoint, LocalServer
from launchpad.settings import Settings

pytestmark = pytest.mark.local_model

SCHEMA = {
    "type": "object",
    "properties": {"thinking": {"type": "string"}, "reply": {"type": "string"}},
    "required": ["thinking", "reply"],
    "additionalProperties": False,
}


@contextmanager
def asked(at: LocalEndpoint, prompt: str, **options: Any) -> Iterator[httpx.Response]:
    body = {
        "model": at.model_name,
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
        "max_tokens": 24,
        "temperature": 0,
    }
    with httpx.stream(
        "POST",
        f"{at.base_url}/chat/completions",
        json=body | options,
        headers={"Authorization": f"Bearer {at.api_key}"},
        timeout=60,
    ) as response:
        yield response


def chunks(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith("data: {"):
            yield json.loads(line[len("data: ") :])


def words(response: httpx.Response) -> list[str]:
    return [
        choice["delta"]["content"]
        for chunk in chunks(response)
        for choice in chunk["choices"]
        if choice["delta"].get("content")
    ]


def busy(at: LocalEndpoint) -> int:
    root = at.base_url.removesuffix("/v1")
    slots = httpx.get(f"{root}/slots", headers={"Authorization": f"Bearer {at.api_key}"}).json()
    return sum(slot["is_processing"] for slot in slots)


def wait_until(what: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_it_streams_token_by_token(local_server: LocalServer) -> None:
    with asked(local_server.endpoint(), "Hello, how are you?") as response:
        assert response.status_code == 200
        received = words(response)
    assert len(received) > 5
    assert "".join(received).strip()


def test_its_name_is_the_only_model(local_server: LocalServer) -> None:
    at = local_server.endpoint()
    listed = httpx.get(f"{at.base_url}/models", headers={"Authorization": f"Bearer {at.api_key}"})
    assert [model["id"] for model in listed.json()["data"]] == [MODEL_NAME]


def test_nobody_gets_in_without_the_key(local_server: LocalServer) -> None:
    at = local_server.endpoint()
    stranger = LocalEndpoint(base_url=at.base_url, api_key="guess")
    with asked(stranger, "Hello") as response:
        assert response.status_code == 401
    assert at.api_key not in repr(at)


def test_it_obeys_a_json_schema(local_server: LocalServer) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "out", "strict": True, "schema": SCHEMA}}
    with asked(
        local_server.endpoint(), "Say hello.", response_format=form, max_tokens=200
    ) as response:
        document = json.loads("".join(words(response)))
    assert set(document) == {"thinking", "reply"}


def test_two_clients_at_once(local_server: LocalServer) -> None:
    at = local_server.endpoint()

    def ask(number: int) -> tuple[float, float]:
        with asked(at, f"Tell me story {number}", max_tokens=60, ignore_eos=True) as response:
            times = [time.monotonic() for _ in chunks(response)]
        return times[0], times[-1]

    with ThreadPoolExecutor(2) as pool:
        (start_a, end_a), (start_b, end_b) = pool.map(ask, (1, 2))
    assert start_a < end_b
    assert start_b < end_a


def test_a_client_that_leaves_frees_its_slot(local_server: LocalServer) -> None:
    at = local_server.endpoint()
    with asked(at, "A long story", max_tokens=400, ignore_eos=True) as response:
        arriving = chunks(response)
        next(arriving)
        assert busy(at) == 1
    wait_until(lambda: busy(at) == 0)


def test_too_long_a_prompt_is_refused_and_the_server_goes_on(local_server: LocalServer) -> None:
    at = local_server.endpoint()
    with asked(at, "word " * 600) as response:
        assert response.status_code == 400
        assert json.loads(response.read())["error"]["type"] == "exceed_context_size_error"
    with asked(at, "Hello") as response:
        assert words(response)


def test_an_answer_that_fills_the_context_ends_with_length(local_server: LocalServer) -> None:
    with asked(local_server.endpoint(), "word " * 440, max_tokens=400, ignore_eos=True) as response:
        finishes = [chunk["choices"][0]["finish_reason"] for chunk in chunks(response)]
    assert finishes[-1] == "length"


def test_stop_cuts_a_running_answer_and_leaves_no_process() -> None:
    server = LocalServer(Settings(local_parallel=1, local_context=2048))
    at = server.endpoint()
    pid = server.pid
    assert pid is not None
    with asked(at, "A long story", max_tokens=1500, ignore_eos=True) as response:
        arriving = chunks(response)
        next(arriving)
        server.stop()
    assert not alive(pid)
    assert server.pid is None
    server.stop()


def test_a_crashed_model_comes_back_at_the_same_address() -> None:
    server = LocalServer(Settings(local_parallel=1, local_context=512))
    try:
        before = server.endpoint()
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: server.pid is None)
        assert server.endpoint() == before
        assert server.pid != first
        with asked(before, "Hello") as response:
            assert words(response)
    finally:
        server.stop()


@pytest.mark.parametrize("short_life", [0.0, 1000.0])
def test_it_is_replaced_without_being_asked(
    monkeypatch: pytest.MonkeyPatch, short_life: float
) -> None:
    """A worker's or a reload's supervisor owns it, and is never asked."""
    monkeypatch.setattr("launchpad.models.local.server.SHORT_LIFE", short_life)
    monkeypatch.setattr("launchpad.models.local.server.BACK_OFF", 0.2)
    server = LocalServer(Settings(local_parallel=1, local_context=512))
    try:
        before = server.endpoint()
        gone: set[int | None] = {None}
        for _ in range(2):
            pid = server.pid
            assert pid is not None
            gone.add(pid)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: server.pid not in gone)
        assert server.endpoint() == before
    finally:
        server.stop()


def test_a_stop_does_not_wait_for_a_start() -> None:
    server = LocalServer(Settings(local_parallel=1, local_context=512))
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(server.endpoint)
        wait_until(lambda: server.pid is not None)
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # it goes on loading for ever
        server.stop()
        assert not alive(pid)
        with pytest.raises(ConfigurationError):
            starting.result(20)
    with asked(server.endpoint(), "Hello") as response:
        assert words(response), "it can be started again"
    server.stop()


OWNER = """
import signal, sys, time
# What runs in the background is started with Ctrl-C ignored, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
from launchpad.models.local import endpoint
from launchpad.models.local.shared import _owned
endpoint()
print(_owned.server.pid, flush=True)
if sys.argv[1] == "sleep":
    time.sleep(600)
"""


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "LOCAL_MODEL" not in name}


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_model_ends_with_its_owner_however_that_ends(
    local_server: LocalServer, end: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, "sleep"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=clean_environment(),
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert alive(pid)
        owner.send_signal(end)
    wait_until(lambda: not alive(pid))


def test_the_model_ends_with_a_program_that_just_ends(local_server: LocalServer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OWNER, "leave"],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=True,
    )
    wait_until(lambda: not alive(int(done.stdout)))
    # stderr is no terminal here: plain lines, no spinner's control codes.
    assert "Loading SmolLM2-135M-Instruct" in done.stderr
    assert "\x1b" not in done.stderr
