"""TLS, proxies, and what a client's environment says about them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from pydantic_ai.exceptions import ModelAPIError
from tests.models.upstream import DONE, STOP, Call, text, upstream

from launchpad.models import aclose_clients
from launchpad.models.http.route import is_loopback, proxy_for, tls_context

TLS = Path(__file__).parent / "tls"
"""A certificate of its own authority for localhost and upstream.test, made for these tests."""


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "cert.pem"))
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()


@pytest.fixture(params=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Any:
    return asyncio.run if request.param == "asyncio" else uvloop.run


def server_side() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    return context


async def script(call: Call) -> None:
    await call.stream(*text("a", "b"), STOP, DONE)


def test_tls(runner: Any) -> None:
    async def main() -> None:
        async with upstream(script, ssl=server_side()) as server:
            url = server.url.replace("http://127.0.0.1", "https://localhost")
            async with server.agent(base_url=url).run_stream("Hello") as result:
                assert await result.get_output() == "ab"
            await aclose_clients()

    runner(main())


def test_a_certificate_that_nobody_vouches_for(
    runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    tls_context.cache_clear()

    async def main() -> None:
        async with upstream(script, ssl=server_side()) as server:
            url = server.url.replace("http://127.0.0.1", "https://localhost")
            with pytest.raises(ModelAPIError, match="could not be reached"):
                async with server.agent(base_url=url).run_stream("Hello"):
                    pass
            await aclose_clients()

    runner(main())


def test_https_through_a_proxy(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def main() -> None:
        async with upstream(script, ssl=server_side()) as server:

            async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                asked.append(head.split("\r\n")[0])
                inner, outer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await asyncio.gather(_copy(reader, outer), _copy(inner, writer))

            proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
            port = proxy.sockets[0].getsockname()[1]
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
            agent = server.agent(base_url="https://upstream.test/v1")
            async with agent.run_stream("Hello") as result:
                assert await result.get_output() == "ab"
            await aclose_clients()
            proxy.close()

    runner(main())
    assert asked == ["CONNECT upstream.test:443 HTTP/1.1"]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def test_which_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_for("https://api.example.com/v1") is None
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("HTTP_PROXY", "proxy:3129")
    monkeypatch.setenv("NO_PROXY", "inside.example.com")
    assert proxy_for("https://api.example.com/v1") == "http://proxy:3128"
    assert proxy_for("http://api.example.com/v1") == "http://proxy:3129"
    assert proxy_for("https://inside.example.com/v1") is None
    for local in ("http://localhost:1/v1", "http://127.0.0.1:1/v1", "http://[::1]:1/v1"):
        assert proxy_for(local) is None


def test_loopback() -> None:
    assert is_loopback("127.8.8.8")
    assert is_loopback("::1")
    assert is_loopback("x.localhost")
    assert not is_loopback("10.0.0.1")
    assert not is_loopback("example.com")
