"""The HTTP client below: one aiohttp session a loop, TLS roots, proxies."""

from __future__ import annotations

import ssl
from functools import lru_cache
from ipaddress import ip_address
from os import environ
from types import SimpleNamespace
from typing import cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from launchpad.models.loops import loop_scope

_SESSION = "aiohttp session"
_POOL_LIMIT = 0
"""No limit: the number of runs is bounded before they get here."""


def session() -> aiohttp.ClientSession:
    """The running loop's session, made on first use and closed with the loop's other things."""
    scope = loop_scope()
    found = scope.kept.get(_SESSION)
    if found is None:
        connector = aiohttp.TCPConnector(limit=_POOL_LIMIT, keepalive_timeout=30, ttl_dns_cache=60)
        found = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trace_configs=[_watch_reuse()],
        )
        scope.kept[_SESSION] = found
        scope.at_close(found.close)
    return cast("aiohttp.ClientSession", found)


def _watch_reuse() -> aiohttp.TraceConfig:
    async def note(
        _: aiohttp.ClientSession,
        context: SimpleNamespace,
        __: aiohttp.TraceConnectionReuseconnParams,
    ) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx["reused"] = True

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(note)
    return config


def was_reused(trace: dict[str, bool]) -> bool:
    """Whether the request of this trace went over a kept-alive connection. Forgets it."""
    return trace.pop("reused", False)


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """The system's roots, and certifi's where they are there, as the OpenAI SDK trusts them."""
    context = ssl.create_default_context()
    if not (environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR")):
        try:
            import certifi  # not a dependency of ours: there with most HTTP clients
        except ImportError:
            return context
        context.load_verify_locations(certifi.where())
    return context


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for `url`; None for loopback and `NO_PROXY`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    if found is not None and "://" not in found:
        found = "http://" + found
    return found


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine: such a connection never goes through a proxy."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
