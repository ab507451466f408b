"""One model for a tree of processes, shared through the environment."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from launchpad.errors import ConfigurationError, UpstreamError
from launchpad.models import local
from launchpad.models.local import shared
from launchpad.models.local.server import LocalServer
from launchpad.settings import Settings

ASK = "from launchpad.models.local import endpoint; at = endpoint(); print(at.base_url, at.api_key)"


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts as a process that knows of no model."""
    monkeypatch.delenv(shared.URL_VARIABLE, raising=False)
    monkeypatch.delenv(shared.KEY_VARIABLE, raising=False)
    monkeypatch.setattr(shared, "_owned", type(shared._owned)())
    yield
    local.stop()


@pytest.mark.local_model
def test_processes_started_afterwards_share_it(local_server: LocalServer) -> None:
    ours = local.endpoint(Settings(local_parallel=1, local_context=512))
    assert local.endpoint() is ours
    told = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [ours.base_url, ours.api_key]
    assert "Loading" not in told.stderr
    local.stop()
    assert shared.URL_VARIABLE not in os.environ


@pytest.mark.local_model
def test_a_fork_does_not_stop_its_parents_model(local_server: LocalServer) -> None:
    ours = local.endpoint(Settings(local_parallel=1, local_context=512))
    code = (
        "import os; from launchpad.models import local\n"
        "local.endpoint()\n"
        "pid = os.fork()\n"
        "if pid == 0: local.stop(); os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "print(local.endpoint().base_url)"
    )
    environment = {k: v for k, v in os.environ.items() if "LOCAL_MODEL" not in k}
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert told.stdout.strip() not in {"", ours.base_url}
    assert told.stderr.count("Loading") == 1


def test_the_environment_names_one_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has loaded: until then llama.cpp accepts connections and answers 503."""
    said: list[int] = []

    class Loading(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said.append(503 if len(said) < 2 else 200)
            self.send_response(said[-1])
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Nothing on stderr."""

    with HTTPServer(("127.0.0.1", 0), Loading) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        monkeypatch.setenv(shared.URL_VARIABLE, url)
        monkeypatch.setenv(shared.KEY_VARIABLE, "key")
        assert local.endpoint() == local.LocalEndpoint(base_url=url, api_key="key")
        assert said == [503, 503, 200]
        server.shutdown()


def test_the_environment_names_one_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    monkeypatch.setenv(shared.URL_VARIABLE, f"http://127.0.0.1:{port}/v1")
    monkeypatch.setattr(shared, "RETURN_TIMEOUT", 0.2)
    with pytest.raises(UpstreamError, match="does not answer"):
        local.endpoint()


def test_the_environment_names_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shared.URL_VARIABLE, "somewhere")
    with pytest.raises(ConfigurationError, match=shared.URL_VARIABLE):
        local.endpoint()


def test_without_llama_cpp_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # An entry of None in sys.modules is Python's own way to say that there is no such shared.
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ConfigurationError, match='pip install "xllamacpp>='):
        local.endpoint()
