"""A real server for tests: uvicorn in a thread, on a free port, closed cleanly at the end.

    with serve(WorkflowRegistry) as server:
        client = OpenAI(base_url=server.base_url, api_key="any")

`httpx.ASGITransport` and Starlette's `TestClient` buffer whole bodies, so they can show neither
when a token leaves nor what happens when the client does.
"""

from __future__ import annotations

import asyncio
import contextvars
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

import uvicorn

if TYPE_CHECKING:
    from launchpad.settings import Settings
    from launchpad.workflows.catalog import Registry

__all__ = ["ASGIApp", "Server", "serve"]

Message: TypeAlias = MutableMapping[str, Any]
ASGIApp: TypeAlias = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


class _Uvicorn(uvicorn.Server):
    """Says when it is up, and keeps its hands off the process's signals."""

    def __init__(self, config: uvicorn.Config, up: threading.Event) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._up.set()


class Server:
    """A running server; leave the `with` block, or call `close()`, to end it.

    `url` is `http://127.0.0.1:PORT`, `base_url` has OpenAI's `/v1` after it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        timeout: float,
        grace: float,
        http: type[asyncio.Protocol] | None = None,
    ) -> None:
        self._timeout = timeout
        self._up = threading.Event()
        # Named TCP, so that asyncio's own loop turns Nagle's algorithm off for what it accepts.
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            cast("Any", app),
            http=http or "auto",
            log_level="warning",
            log_config=None,  # logging belongs to the test
            lifespan="auto",
            timeout_graceful_shutdown=max(1, round(grace)),
        )
        self._uvicorn = _Uvicorn(config, self._up)
        self._failure: BaseException | None = None
        # A `override_model` around `serve` holds for the server's requests too.
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name="test-server", daemon=True
        )

    @property
    def url(self) -> str:
        """The server's address, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What OpenAI's clients take as base URL."""
        return f"{self.url}/v1"

    def __enter__(self) -> Self:
        """Start, and wait until the server accepts. Raises what its start-up raised."""
        self._thread.start()
        self._up.wait(self._timeout)
        if self._failure is not None or not self._uvicorn.started:
            self.close()
            raise self._failure or TimeoutError("the server did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the server."""
        self.close()

    def close(self) -> None:
        """Stop accepting, let open requests end within the grace, then cut them off.

        Raises `TimeoutError` where the server's thread does not come to its end.
        """
        self._uvicorn.should_exit = True
        self._thread.join(self._timeout)
        self._socket.close()
        if self._thread.is_alive():
            raise TimeoutError("the server did not stop")

    def _run(self) -> None:
        try:
            # The loop that uvicorn would choose by itself: uvloop where there is one.
            factory = self._uvicorn.config.get_loop_factory()
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(self._uvicorn.serve(sockets=[self._socket]))
        except SystemExit:
            self._failure = RuntimeError("the app's start-up failed; the log says why")
        except BaseException as error:  # noqa: BLE001  # raised in the thread that uses it
            self._failure = error
        finally:
            self._up.set()


def serve(
    target: ASGIApp | Registry,
    *,
    settings: Settings | None = None,
    timeout: float = 20.0,
    grace: float = 1.0,
) -> Server:
    """A server for an ASGI app, or for workflows as `launchpad serve` has them.

    Args:
        target: the app; or an Enum whose members are Workflow classes, a mapping of names to
            them, or just the classes.
        settings: for workflows: the server's settings, read from the environment if None.
        timeout: seconds that start and stop may take.
        grace: whole seconds that open requests get when the server is closed; workflows no more
            than the settings' `shutdown_grace`.

    An `override_model` must be entered before the server is.
    """
    if isinstance(target, type | Mapping | Iterable) or not callable(target):
        # An app alone needs neither. What is no app either hears there what is taken.
        from launchpad.api.app import create_app
        from launchpad.server.protocol import LaunchpadProtocol

        app = cast("ASGIApp", create_app(cast("Registry", target), settings))
        return Server(app, timeout=timeout, grace=grace, http=LaunchpadProtocol)
    return Server(target, timeout=timeout, grace=grace)
