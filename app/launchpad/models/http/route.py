"""Where a URL leads: its address, the proxy on the way, the words that begin a request."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from os import environ
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """A host to connect to. `login` is a proxy's `Proxy-Authorization`, "" for none."""

    host: str
    port: int
    tls: bool
    login: str = ""

    @property
    def authority(self) -> str:
        """`host:port`, as a CONNECT names it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Route:
    """Where requests for one URL go. Routes of equal `origin` and `proxy` share connections."""

    origin: Address
    proxy: Address | None
    start: bytes
    """The request's first lines, up to its own headers."""

    @property
    def tunnel(self) -> bool:
        """Whether the proxy only passes bytes on (CONNECT), because they are encrypted."""
        return self.proxy is not None and self.origin.tls


def route_to(url: str) -> Route:
    """The route to `url`, as the environment's proxy variables have it now.

    Raises `ValueError` for what is no http or https URL.
    """
    parts = urlsplit(url)
    origin = _address(parts)
    found = proxy_for(url)
    proxy = _address(urlsplit(found)) if found else None
    path = parts.path or "/"
    if parts.query:
        path += "?" + parts.query
    host = parts.netloc.rpartition("@")[2]
    login = ""
    if proxy is not None and not origin.tls:
        path = f"http://{host}{path}"
        login = f"Proxy-Authorization: {proxy.login}\r\n" if proxy.login else ""
    start = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{login}"
    return Route(origin, proxy, start.encode("ascii"))


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for `url`; None for loopback and `NO_PROXY`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host) or proxy_bypass(f"{host}:{_port(parts)}"):
        return None
    proxies = getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    if found is not None and "://" not in found:
        found = "http://" + found
    return found


def socks_variable() -> str | None:
    """The environment's variable that names a SOCKS proxy, which nobody here can speak to."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        for variable in (name, name.lower()):
            if environ.get(variable, "").lower().startswith("socks"):
                return variable
    return None


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine: such a connection never goes through a proxy."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """The system's roots, and certifi's where they are there, as the OpenAI SDK trusts them."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if not (environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR")):
        try:
            import certifi  # not a dependency of ours: there with most HTTP clients
        except ImportError:
            return context
        context.load_verify_locations(certifi.where())
    return context


def _port(parts: SplitResult) -> int | None:
    return parts.port or _PORTS.get(parts.scheme)


def _address(parts: SplitResult) -> Address:
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"{parts.scheme}://{parts.hostname or ''} is no http or https address")
    login = ""
    if parts.username is not None:
        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = "Basic " + base64.b64encode(words.encode()).decode()
    host = parts.hostname
    if not host.isascii():
        host = host.encode("idna").decode()
    return Address(host, parts.port or _PORTS[parts.scheme], parts.scheme == "https", login)
