"""Who may call."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket
from pydantic import ValidationError

from launchpad.api.app import create_app
from launchpad.api.gate import read_keys
from launchpad.api.router import create_router
from launchpad.errors import ConfigurationError
from launchpad.testing.server import Server, serve

from .conftest import Flows, chat, settings

PATH = "/v1/chat/completions"


def test_without_keys_only_this_machine_may_call(server: Server) -> None:
    combinations: tuple[tuple[dict[str, str], int], ...] = (
        ({}, 200),
        ({"host": "localhost:1234"}, 200),
        ({"host": "evil.example"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:3000"}, 200),
        ({"host": "localhost:1234", "origin": "https://evil.example"}, 403),
    )
    # Once more: what was let in is remembered.
    for headers, status in combinations * 2:
        answer = httpx.post(server.url + PATH, json=chat(), headers=headers)
        assert answer.status_code == status, headers
        if status == 403:
            assert answer.json()["error"]["type"] == "permission_error"


def test_headers_may_be_lists() -> None:
    # ASGI asks for "an iterable of two-item iterables".
    sent: list[Any] = []

    async def ask(host: bytes) -> int:
        app = create_app(Flows, settings())
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "path": "/v1/models",
            "raw_path": b"/v1/models",
            "query_string": b"",
            "headers": [[b"host", host]],
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        sent.clear()
        await app(scope, receive, send)
        return int(sent[0]["status"])

    assert asyncio.run(ask(b"localhost")) == 200
    assert asyncio.run(ask(b"evil.example")) == 403


def test_keys_plain_hashed_and_from_a_file(tmp_path: Path) -> None:
    hashed = hashlib.sha256(b"key-two").hexdigest()
    keys = tmp_path / "keys"
    keys.write_text("# names and keys\nthird=key-three\n")
    configured = settings(api_keys=f"first=key-one, second=sha256:{hashed}", api_keys_file=keys)
    with serve(create_app(Flows, configured)) as server:
        for headers, status in (
            ({}, 401),
            ({"authorization": "Bearer wrong"}, 401),
            ({"authorization": "Basic key-one"}, 401),
            ({"authorization": "Bearer key-one"}, 200),
            ({"authorization": "bearer key-two"}, 200),
            ({"x-api-key": "key-three"}, 200),
            ({"authorization": "Bearer key-one", "host": "my.example"}, 200),
        ):
            answer = httpx.post(server.url + PATH, json=chat(), headers=headers)
            assert answer.status_code == status, headers
            if status == 401:
                assert answer.json()["error"]["type"] == "authentication_error"
        assert httpx.get(server.url + "/v1/models").status_code == 401
        assert httpx.get(server.url + "/nothing").status_code == 401
        assert httpx.get(server.url + "/health").status_code == 200


@pytest.mark.parametrize("key", ["schlüssel", "clé à", "ключ", "鍵"])
def test_a_key_may_have_any_letters(tmp_path: Path, key: str) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"\ufeffmine={key}\n", encoding="utf-8")
    sent = [key.encode()]
    if key.isascii() or max(key) <= "\xff":
        sent.append(key.encode("latin-1"))
    with serve(create_app(Flows, settings(api_keys_file=keys))) as server:
        for value in sent:
            for header in ({b"authorization": b"Bearer " + value}, {b"x-api-key": value}):
                assert httpx.get(server.url + "/v1/models", headers=header).status_code == 200
        wrong = {b"x-api-key": "schlüssen".encode()}
        assert httpx.get(server.url + "/v1/models", headers=wrong).status_code == 401


def test_a_key_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_bytes("mine=schlüssel".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="not in UTF-8"):
        read_keys(settings(api_keys_file=keys))


def test_keys_need_no_name_and_may_end_in_equals_signs() -> None:
    keys = read_keys(settings(api_keys="plain,c2VjcmV0IHNlY3JldA==,named=c2VjcmV0Mg=="))
    assert list(keys) == ["key-1", "key-2", "named"]
    assert keys["key-2"] == hashlib.sha256(b"c2VjcmV0IHNlY3JldA==").digest()
    assert keys["named"] == hashlib.sha256(b"c2VjcmV0Mg==").digest()


@pytest.mark.parametrize("keys", ["=", "prod=", "a=x,a=y", "a=sha256:beef"])
def test_unreadable_keys_are_refused_and_not_shown(keys: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_keys(settings(api_keys=keys))
    assert "beef" not in str(caught.value)


def test_cors_may_be_open_to_all() -> None:
    with serve(create_app(Flows, settings(cors_origins="*"))) as server:
        answer = httpx.post(
            server.url + PATH, json=chat(), headers={"origin": "https://any.example"}
        )
        assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "https://a.example/b"])
def test_what_no_browser_sends_is_no_origin(origin: str) -> None:
    with pytest.raises(ValidationError, match="is no origin; write it as"):
        settings(cors_origins=f"https://one.example,{origin}")
    assert settings(cors_origins="http://localhost:3000,null").cors_origins[1] == "null"
    assert settings(cors_origins="file://").cors_origins == ("file://",), "Android's web views"


def test_cors_is_off_until_origins_are_named(server: Server) -> None:
    origin = {"origin": "https://app.example"}
    preflight = {**origin, "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in httpx.get(server.url + "/health").headers
    with serve(create_app(Flows, settings(cors_origins="https://app.example"))) as open_server:
        url = open_server.url + PATH
        assert httpx.options(url, headers=preflight).headers["access-control-allow-origin"]
        answer = httpx.post(url, json=chat(), headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        answer = httpx.post(url, json=chat(), headers={"origin": "https://other.example"})
        assert answer.status_code == 403


@pytest.mark.parametrize("text", ["", "# only a comment\n"])
def test_a_key_file_without_keys_does_not_open_the_server(tmp_path: Path, text: str) -> None:
    keys = tmp_path / "keys"
    keys.write_text(text)
    with pytest.raises(ConfigurationError, match="holds no key"):
        create_app(Flows, settings(api_keys_file=keys))


@pytest.mark.parametrize("host", ["evil.example@localhost", ""])
def test_odd_hosts_are_foreign(server: Server, host: str) -> None:
    answer = httpx.post(server.url + PATH, json=chat(), headers={"host": host})
    assert answer.status_code in {400, 403}


def test_in_somebody_s_app_its_dependencies_and_our_keys_hold() -> None:
    asked: list[str] = []

    def need_ticket(request: Request) -> None:
        asked.append(request.url.path)
        if request.headers.get("ticket") != "yes":
            raise HTTPException(401, "no ticket")

    app = FastAPI()
    app.include_router(
        create_router(Flows, settings(api_keys="me=key-one")),
        prefix="/ai",
        dependencies=[Depends(need_ticket)],
    )
    with serve(app) as server:
        url = f"{server.url}/ai{PATH}"
        assert httpx.post(url, json=chat()).status_code == 401
        assert httpx.post(url, json=chat(), headers={"ticket": "yes"}).status_code == 401
        both = {"ticket": "yes", "x-api-key": "key-one"}
        answer = httpx.post(url, json=chat(stream=True), headers=both)
        assert answer.status_code == 200
        assert answer.text.endswith("data: [DONE]\n\n")
        assert httpx.get(f"{server.url}/ai/v1/models/echo", headers=both).json()["id"] == "echo"
    assert asked == [f"/ai{PATH}"] * 3 + ["/ai/v1/models/echo"]


@pytest.mark.parametrize(
    ("given", "let_in"),
    [
        ({"api_keys": "me=key-one"}, {"x-api-key": "key-one"}),
        ({}, {"host": "localhost"}),
    ],
)
def test_websockets_of_a_user_s_own_stand_behind_it(
    given: dict[str, Any], let_in: dict[str, str]
) -> None:
    sent: list[dict[str, Any]] = []
    app = create_app(Flows, settings(**given))

    @app.websocket("/own")
    async def own(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    async def open_one(headers: dict[str, str]) -> str:
        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "websocket",
            "path": "/own",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        sent.clear()
        await app(scope, receive, send)
        return str(sent[0]["type"])

    assert asyncio.run(open_one({"host": "evil.example"})) == "websocket.close"
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert asyncio.run(open_one(let_in)) == "websocket.accept"
