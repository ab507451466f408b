"""Through real proxies: nginx as it comes, and the configurations in `deploy/`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.clients.programs import absent

from launchpad.testing.gate import Gate
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.sse import open_stream
from launchpad.testing.steps import Chunk, Hang, Head, Repeat, Status, Step, WaitFor

from .flows import FLOWS, seen
from .harness import CHAT, Served, chat, eventually

DEPLOY = Path(__file__).parents[2] / "deploy"
TOKENS = 6

PLAIN = """
server {
    listen 80;
    location / { proxy_pass http://127.0.0.1:8080; }
}
"""
AROUND = """
daemon off;
master_process on;
error_log stderr error;
pid {place}/nginx.pid;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    {server}
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@contextmanager
def running(command: list[str], port: int, place: Path) -> Iterator[str]:
    with (place / "proxy.log").open("w+b") as log:
        home = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(place))
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=place, env=os.environ | home
        )
        try:
            deadline = time.monotonic() + 20
            while True:
                log.seek(0)
                assert process.poll() is None, log.read().decode()
                assert time.monotonic() < deadline, log.read().decode()
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def nginx(text: str, place: Path, port: int, behind: int) -> list[str]:
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if program is None:
        absent("nginx is not installed")
    server = text.replace("listen 80", f"listen 127.0.0.1:{port}")
    server = server.replace("127.0.0.1:8080", f"127.0.0.1:{behind}")
    config = place / "nginx.conf"
    config.write_text(AROUND.format(place=place, server=server))
    return [program, "-p", str(place), "-c", str(config)]


def caddy(text: str, place: Path, port: int, behind: int) -> list[str]:
    program = shutil.which("caddy")
    if program is None:
        absent("caddy is not installed")
    site = text.replace(":80 {", f"http://127.0.0.1:{port} {{")
    site = site.replace("127.0.0.1:8080", f"127.0.0.1:{behind}")
    config = place / "Caddyfile"
    config.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + site)
    return [program, "run", "--config", str(config), "--adapter", "caddyfile"]


PROXIES: dict[str, Callable[[Path, int, int], list[str]]] = {
    "nginx as it comes": lambda *where: nginx(PLAIN, *where),
    "deploy/nginx.conf": lambda *where: nginx((DEPLOY / "nginx.conf").read_text(), *where),
    "deploy/Caddyfile": lambda *where: caddy((DEPLOY / "Caddyfile").read_text(), *where),
}


@pytest.fixture
def served(upstream: ScriptedUpstream) -> Iterator[Served]:
    with Served(FLOWS, heartbeat=0.0) as server:
        yield server


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest, served: Served, tmp_path: Path) -> Iterator[str]:
    """The proxy's address."""
    # Its workers run as another user, who has to reach the folder.
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    tmp_path.chmod(0o777)
    port = free_port()
    command = PROXIES[request.param](tmp_path, port, served.port)
    with running(command, port, tmp_path) as url:
        yield url


@pytest.mark.parametrize("model", ["talk", "direct"])
def test_tokens_arrive_one_by_one(proxy: str, upstream: ScriptedUpstream, model: str) -> None:
    gates = [Gate() for _ in range(TOKENS)]
    steps: list[Step] = []
    for number, gate in enumerate(gates):
        steps += [Chunk(f"t{number} "), WaitFor(gate)]
    upstream.script(*steps)
    with open_stream(proxy + CHAT, chat(model)) as client:
        for number, gate in enumerate(gates):
            event = client.next_event()
            while event is not None and f"t{number} " not in event.data:
                event = client.next_event()
            assert event is not None, "each token is here before the next one is made"
            gate.open()
        assert client.read_all()[-1].data == "[DONE]"
        assert client.ended == "complete"


@pytest.mark.parametrize("steps", [(Head(), Hang()), (Repeat("t{i} ", pace=0.01),)])
def test_a_client_that_leaves_ends_its_run(
    proxy: str, served: Served, upstream: ScriptedUpstream, steps: tuple[Step, ...]
) -> None:
    upstream.script_all(*steps)
    streaming = isinstance(steps[0], Repeat)
    client = open_stream(proxy + CHAT, chat("talk"), wait_head=streaming)
    (request,) = upstream.wait_requests()
    if streaming:
        assert client.next_event() is not None
    client.close()
    request.wait_disconnected()
    eventually(lambda: seen.cleaned["Talk"] == 1, "clean-up")
    eventually(lambda: served.counts().runs == 0, "the run's end")


def test_a_client_that_does_not_read_stops_its_upstream(
    proxy: str, upstream: ScriptedUpstream
) -> None:
    """Proxies hold some buffers of their own, and do not spool a stream to the disk."""
    upstream.script(Repeat("x" * 1000))
    client = open_stream(proxy + CHAT, chat("talk"), receive_buffer=4096)
    (request,) = upstream.wait_requests()
    sent = request.wait_blocked(lasting=0.5, timeout=30)
    assert sent * 1000 < 16 * 1024 * 1024
    client.close()
    request.wait_disconnected()


def test_errors_keep_their_status(proxy: str, upstream: ScriptedUpstream) -> None:
    upstream.script(Status(429, {"Retry-After": "7"}))
    answer = httpx.post(proxy + CHAT, json=chat("talk"), timeout=30)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert json.loads(answer.content)["error"]["code"] == "rate_limit_exceeded"


def test_heartbeats_come_through(
    request: pytest.FixtureRequest, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script(Hang())
    with Served(FLOWS, heartbeat=0.05) as served:
        port = free_port()
        tmp_path.chmod(0o777)
        command = PROXIES["nginx as it comes"](tmp_path, port, served.port)
        with (
            running(command, port, tmp_path) as url,
            httpx.stream("POST", url + CHAT, json=chat("talk"), timeout=30) as answer,
        ):
            pieces = answer.iter_raw()
            assert next(pieces) == b": ping\n"
            assert next(pieces) == b": ping\n"
