"""Where a request is odd, or no run begins: over a real socket."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.testclient import TestClient

from launchpad.api.app import create_app
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.testing.server import Server, serve
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

from .conftest import EchoNode, Flows, chat, one_node, settings

PATH = "/v1/chat/completions"
LOCKED = {"api_keys": "me=key-one"}
NO_RUN: dict[str, tuple[dict[str, Any], str, str, dict[str, Any], int]] = {
    "not valid": ({}, "POST", PATH, {"json": chat(temperature=9)}, 400),
    "not JSON": ({}, "POST", PATH, {"content": b"{"}, 400),
    "without a key": (LOCKED, "POST", PATH, {"json": chat()}, 401),
    "without a key, nowhere": (LOCKED, "GET", "/nothing", {}, 401),
    "a foreign host": ({}, "POST", PATH, {"headers": {"host": "evil.example"}}, 403),
    "an unknown model": ({}, "POST", PATH, {"json": chat(model="nope")}, 404),
    "an unknown card": ({}, "GET", "/v1/models/nope", {}, 404),
    "nowhere": ({}, "GET", "/nothing", {}, 404),
    "a wrong method": ({}, "DELETE", PATH, {}, 405),
    "a wrong method of the router's": ({}, "DELETE", "/v1/models/echo", {}, 405),
    "too large": ({"max_body_bytes": 64}, "POST", PATH, {"json": chat("x" * 100)}, 413),
    "compressed": ({}, "POST", PATH, {"headers": {"content-encoding": "gzip"}}, 415),
    "no message": ({}, "POST", "/chat/stream", {"json": {}}, 400),
    "an EventSource again": ({}, "GET", "/chat/stream", {"headers": {"last-event-id": "1"}}, 204),
    "the models": ({}, "GET", "/v1/models", {}, 200),
    "a card": ({}, "GET", "/v1/models/echo", {}, 200),
    "health": ({}, "GET", "/health", {}, 200),
    "metrics": ({}, "GET", "/metrics", {}, 200),
}


Servers = Callable[[dict[str, Any]], Server]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """A server with given settings, each once."""
    running: dict[str, Server] = {}

    with ExitStack() as stack:

        def with_settings(changes: dict[str, Any]) -> Server:
            name = repr(changes)
            if name not in running:
                app = create_app(Flows, settings(**changes))
                running[name] = stack.enter_context(serve(app))
            return running[name]

        yield with_settings


@pytest.mark.parametrize("case", NO_RUN)
def test_an_answer_without_a_run_has_an_id_too(servers: Servers, case: str) -> None:
    changes, method, path, request, status = NO_RUN[case]
    server = servers(changes)
    ids = set[str]()
    for _ in range(2):
        answer = httpx.request(method, server.url + path, **request)
        assert answer.status_code == status, answer.text
        (given,) = answer.headers.get_list("x-request-id")
        ids.add(given)
    assert len(ids) == 2
    assert {len(one) for one in ids} == {32}


def test_the_log_knows_a_failed_request_by_its_id(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(OpenAIChatSchema):
        @property
        def valid_json_chunks(self) -> bool:
            raise ValueError("a fault in the schema")

    flows = {"faulty": one_node(EchoNode, Faulty)}
    with serve(create_app(flows, settings(default_workflow="faulty"))) as server:
        answer = httpx.post(server.url + PATH, json=chat(model="faulty"))
    assert answer.status_code == 500
    assert f"request {answer.headers['x-request-id']} failed" in caplog.text


@pytest.mark.parametrize("value", [1, False, [], {}, 0.5])
def test_a_model_of_a_wrong_type_is_told_as_any_other(client: httpx.Client, value: Any) -> None:
    answer = client.post(PATH, json=chat(model=value))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("model", "invalid_type")
    assert error["message"].startswith("Invalid type for 'model': expected a string, but got ")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}])
def test_a_401_says_how_to_send_a_key(servers: Servers, headers: dict[str, str]) -> None:
    answer = httpx.post(servers(LOCKED).url + PATH, json=chat(), headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].split(" ")[0] == "Bearer"
    allowed = httpx.post(
        servers(LOCKED).url + PATH, json=chat(), headers={"authorization": "Bearer key-one"}
    )
    assert "www-authenticate" not in allowed.headers


@pytest.mark.parametrize(
    ("path", "method", "words"),
    [
        (PATH, "GET", "Use POST here."),
        ("/v1/models", "DELETE", "Use GET, HEAD here."),
        ("/v1/models/echo", "DELETE", "Use GET, HEAD here."),
        ("/chat/stream", "PUT", "Use GET, POST here."),
    ],
)
def test_a_405_says_which_method_to_use(
    client: httpx.Client, path: str, method: str, words: str
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.json()["error"]["message"] == words
    assert sorted(answer.headers["allow"].split(", ")) == words[4:-6].split(", ")


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/redoc"])
def test_no_description_is_better_than_an_empty_one(client: httpx.Client, path: str) -> None:
    assert client.get(path).json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/v1/models/echo", "/metrics"])
def test_head_is_get_without_a_body(server: Server, path: str) -> None:
    at = urlsplit(server.url)
    with socket.create_connection((at.hostname, at.port), timeout=10) as connection:
        request = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        raw = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == b""
    whole = httpx.get(server.url + path)
    assert f"content-type: {whole.headers['content-type']}".encode() in head.lower()
    assert b"content-length: " in head.lower()


@pytest.mark.parametrize(
    ("path", "status"), [("/chat/stream", 405), (PATH, 405), ("/v1/models/nope", 404)]
)
def test_head_starts_no_run(server: Server, path: str, status: int) -> None:
    assert httpx.head(server.url + path).status_code == status


def test_head_needs_a_key_where_get_does(servers: Servers) -> None:
    url = servers(LOCKED).url
    assert httpx.head(url + "/v1/models").status_code == 401
    assert httpx.head(url + "/health").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "\xff"}',
        b'{"model": "x\xc3"}',
        b'{"model": "\\ud83d\xff"}',
        b"\xff{}",
        '{"model": "echo"}'.encode("utf-16"),
    ],
)
@pytest.mark.parametrize("path", [PATH, "/chat/stream"])
def test_a_body_that_is_not_utf_8_is_told_so(client: httpx.Client, path: str, body: bytes) -> None:
    answer = client.post(path, content=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["message"] == "The body is not valid UTF-8."
    assert error["code"] == "invalid_json"


def test_an_app_is_asked_after_its_end_as_before_its_start() -> None:
    """As tests do that share an app, some with its lifespan and some without."""
    app = create_app(Flows, settings())
    body = chat()
    for _ in range(2):
        alone = TestClient(app, base_url="http://localhost")
        assert alone.post("/v1/chat/completions", json=body).status_code == 200
        with TestClient(app, base_url="http://localhost") as client:
            assert client.post("/v1/chat/completions", json=body).status_code == 200


class EagerWorkflow(Workflow):
    stream_by_default = True
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=EchoNode, nodes=[NodeConfig(node=EchoNode)]
    )


@pytest.mark.parametrize(
    ("accept", "streamed"),
    [
        (["*/*"], True),
        (["text/event-stream"], True),
        (["application/json"], False),
        (["APPLICATION/JSON"], False),
        (["text/html, application/json ; q=0.5"], False),
        (["text/html", "application/json;charset=utf-8"], False),
        (["application/json;q=0"], True),
        (["application/json; Q=0.000, text/event-stream"], True),
        (["application/json-seq"], True),
    ],
)
def test_accept_decides_where_the_request_does_not(accept: list[str], streamed: bool) -> None:
    with serve(create_app([EagerWorkflow], settings(default_workflow="eager"))) as server:
        headers = [("accept", one) for one in accept]
        answer = httpx.post(server.url + PATH, json=chat(model="eager"), headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream") == streamed
