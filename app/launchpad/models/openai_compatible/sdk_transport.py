"""What carries the requests to the SDK's other endpoints: made when one is asked for.

Chat completions never come here. An HTTP client of the SDK's own would read the roots of TLS and
the proxies of the environment for each model, and fail at once where one of those speaks SOCKS,
though it may be for another host.
"""

from __future__ import annotations

import httpx2
from openai import DEFAULT_CONNECTION_LIMITS, DefaultAsyncHttpxClient

from launchpad.models.http.route import proxy_for

__all__ = ["sdk_client"]


def sdk_client() -> httpx2.AsyncClient:
    """An HTTP client with the SDK's defaults, which goes where `proxy_for` says."""
    return DefaultAsyncHttpxClient(transport=_OnFirstUse())


class _OnFirstUse(httpx2.AsyncBaseTransport):
    """One transport for each proxy, and one for no proxy."""

    def __init__(self) -> None:
        self._made: dict[str | None, httpx2.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it. Raises what httpx2 raises, `ImportError` for a SOCKS proxy."""
        proxy = proxy_for(str(request.url))
        made = self._made.get(proxy)
        if made is None:
            made = self._made[proxy] = httpx2.AsyncHTTPTransport(
                proxy=proxy, limits=DEFAULT_CONNECTION_LIMITS
            )
        return await made.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all of them."""
        while self._made:
            await self._made.popitem()[1].aclose()
