"""`Endpoint`: the shape of every endpoint here, a plain ASGI app that answers its own errors.

Plain ASGI because that costs a request the least, and because an endpoint that is included in
somebody else's app must not rely on that app's error handlers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from launchpad.api.body import ClientLeftError
from launchpad.api.errors import error_response


class Endpoint(ABC):
    """Answers `methods`; everything else gets 405, every error OpenAI's body."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            response = await self._answer(scope, receive)
        except ClientLeftError:
            return
        except Exception as error:  # noqa: BLE001 - logged and answered there
            response = error_response(error)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> ASGIApp:
        if scope["method"] not in self.methods:
            allowed = ", ".join(sorted(self.methods))
            raise HTTPException(405, f"Use {allowed} here.", {"allow": allowed})
        return await self.respond(scope, receive)

    @abstractmethod
    async def respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        """The response to the request. `LaunchpadError`s become OpenAI's error body."""
