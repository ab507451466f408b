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
from pydantic_ai.models.openai import OpenAIChatModel
from tests.models.upstream import DONE, STOP, Call, text, upstream

from launchpad.errors import MissingConfigurationError
from launchpad.models import AgentConfig, aclose_clients, build_model
from launchpad.models import ModelProvider as P
from launchpad.models.http.route import Address, is_loopback, proxy_for, route_to, tls_context

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
    """HTTP/1.1 is agreed upon, also with an upstream that would rather speak HTTP/2."""
    tls = server_side()
    tls.set_alpn_protocols(["h2", "http/1.1"])

    async def main() -> None:
        async with upstream(script, ssl=tls) as server:
            url = server.url.replace("http://127.0.0.1", "https://localhost")
            async with server.agent(base_url=url).run_stream("Hello") as result:
                assert await result.get_output() == "ab"
            (call,) = server.calls
            agreed = call.writer.get_extra_info("ssl_object").selected_alpn_protocol()
            assert agreed == "http/1.1"
            await aclose_clients()

    runner(main())


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certifi_s_authorities_are_not_added_to_those_that_were_chosen(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    certifi = pytest.importorskip("certifi")
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    tls_context.cache_clear()
    theirs = ssl.create_default_context(cafile=certifi.where()).get_ca_certs(binary_form=True)
    assert set(theirs) <= set(tls_context().get_ca_certs(binary_form=True))
    monkeypatch.setenv(name, str(TLS / "cert.pem" if name == "SSL_CERT_FILE" else TLS))
    tls_context.cache_clear()
    chosen = tls_context().get_ca_certs(binary_form=True)
    # Beside a folder that was chosen OpenSSL reads the system's file, where there is one.
    assert set(chosen) == set(ssl.create_default_context().get_ca_certs(binary_form=True))


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


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_https_through_a_proxy(runner: Any, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
            monkeypatch.setenv("HTTPS_PROXY", f"http://{host}:{port}")
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


def test_a_proxy_in_other_letters_has_the_name_that_stands_in_dns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RFC 3490. An upstream's own URL has it already, from the SDK."""
    monkeypatch.setenv("HTTP_PROXY", "http://bücher.test:3128")
    proxy = route_to("http://api.example.com/v1").proxy
    assert proxy == Address("xn--bcher-kva.test", 3128, tls=False)


def test_which_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_for("https://api.example.com/v1") is None
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("HTTP_PROXY", "proxy:3129")
    monkeypatch.setenv("NO_PROXY", "inside.example.com")
    assert proxy_for("https://api.example.com/v1") == "http://proxy:3128"
    assert proxy_for("http://api.example.com/v1") == "http://proxy:3129"
    assert proxy_for("https://inside.example.com/v1") is None
    monkeypatch.setenv("NO_PROXY", "api.example.com:8443,other.example.com:443")
    assert proxy_for("https://api.example.com:8443/v1") is None
    assert proxy_for("https://api.example.com/v1") == "http://proxy:3128"
    assert proxy_for("https://other.example.com/v1") is None
    for local in ("http://localhost:1/v1", "http://127.0.0.1:1/v1", "http://[::1]:1/v1"):
        assert proxy_for(local) is None


SOCKS = "socks5://127.0.0.1:9"


@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy"])
def test_a_socks_proxy_is_not_in_the_way_of_loopback(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, SOCKS)

    async def main() -> None:
        async with upstream(script) as server:
            async with server.agent().run_stream("Hello") as result:
                assert await result.get_output() == "ab"
            await aclose_clients()
        # Nor in the way of a host that needs no proxy, or has another.
        monkeypatch.setenv("NO_PROXY", "inside.test")
        assert build_model(server.config(base_url="https://inside.test/v1"))
        await aclose_clients()

    asyncio.run(main())


@pytest.mark.parametrize("provider", [P.OPENAI_COMPATIBLE, P.OPENAI, P.OPENROUTER])
@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY", "https_proxy"])
def test_a_socks_proxy_in_the_way_is_named(
    provider: P, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, SOCKS)
    config = AgentConfig(
        model_provider=provider,
        model_name="a/b",
        api_key="k",
        base_url="https://far.test/v1" if provider is P.OPENAI_COMPATIBLE else None,
    )

    async def main() -> None:
        with pytest.raises(MissingConfigurationError, match=f"proxy in {name} speaks SOCKS") as it:
            build_model(config)
        assert "pip install" not in str(it.value)
        assert "127.0.0.1" not in str(it.value)
        await aclose_clients()

    asyncio.run(main())


def test_a_socks_proxy_and_a_provider_whose_sdk_reads_its_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", SOCKS)
    config = AgentConfig(model_provider=P.ANTHROPIC, model_name="a", api_key="k")

    async def main() -> None:
        with pytest.raises(MissingConfigurationError, match="speaks SOCKS"):
            build_model(config)
        await aclose_clients()

    asyncio.run(main())


def test_other_endpoints_of_the_sdk_go_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0])
        body = b'{"object": "list", "data": []}'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        monkeypatch.setenv("HTTP_PROXY", address)
        for url in ("http://far.test/v1", f"{address}/v1"):
            config = AgentConfig(
                model_provider=P.OPENAI_COMPATIBLE, model_name="m", base_url=url, api_key="k"
            )
            model = build_model(config)
            assert isinstance(model, OpenAIChatModel)
            assert (await model.client.models.list()).data == []
            await model.client.close()
        server.close()
        await aclose_clients()

    asyncio.run(main())
    assert asked == ["GET http://far.test/v1/models HTTP/1.1", "GET /v1/models HTTP/1.1"]


def test_loopback() -> None:
    assert is_loopback("127.8.8.8")
    assert is_loopback("::1")
    assert is_loopback("x.localhost")
    assert not is_loopback("10.0.0.1")
    assert not is_loopback("example.com")
