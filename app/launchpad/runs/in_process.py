"""`Runs`: the runs of this process, from admission to shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref

from launchpad.errors import LaunchpadError, RunCancelledError, RunTimeoutError
from launchpad.observe.logs import log_runs_soon
from launchpad.observe.metrics import metrics
from launchpad.runs.admission import Admission, Limits
from launchpad.settings import Settings, use_settings
from launchpad.stream.failure import failed
from launchpad.stream.mailbox import Mailbox
from launchpad.stream.run_stream import EventStream, Producer

__all__ = ["RUNS_STATE", "Runs"]

RUNS_STATE = "launchpad.runs"
"""Where the application's lifespan leaves its `Runs` for the server, in the ASGI state."""

logger = logging.getLogger("launchpad.runs")


class Runs:
    """Starts runs within the limits, knows those that go on, and ends them when it must."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout = settings.request_timeout
        self._active: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self.open()

    def open(self) -> None:
        """Take runs, also after a shutdown: an app may be started again, on another loop."""
        settings = self._settings
        self._admission = Admission(
            Limits(
                runs=settings.max_concurrent_runs,
                runs_per_key=settings.max_concurrent_runs_per_key,
                queued=settings.max_queued_runs,
                queue_timeout=settings.queue_timeout,
            )
        )
        self._closing = False
        self._shutdown: asyncio.Task[int] | None = None

    @property
    def active(self) -> int:
        """Runs that have a place now."""
        return self._admission.running

    @property
    def queued(self) -> int:
        """Runs that wait for a place."""
        return self._admission.queued

    @property
    def closing(self) -> bool:
        """No run is taken any more: the server is shutting down."""
        return self._closing

    @property
    def settings(self) -> Settings:
        """The settings that these runs keep to."""
        return self._settings

    def start(self, produce: Producer, *, run_id: str, key: str | None = None) -> EventStream:
        """The stream of a run that begins, once it is read, when there is a place for it.

        A full server, a run longer than `request_timeout` and a shutdown end the stream with
        `RunFailed`, like every failure. `key` names the API key whose places it takes.
        """
        admission = self._admission

        async def admitted(mailbox: Mailbox) -> None:
            use_settings(self._settings)
            log_runs_soon()
            try:
                await admission.enter(key)
            except LaunchpadError as error:
                metrics.run_rejected(error.code or "rejected")
                await mailbox.put(failed(error))
                return
            timer = asyncio.get_running_loop().call_later(
                self._timeout, _too_late, alive, self._timeout
            )
            try:
                await produce(mailbox)
            finally:
                timer.cancel()
                admission.leave(key)

        stream = EventStream(admitted, name=run_id)
        # Its own run must not keep a stream that was dropped.
        alive = weakref.ref(stream)
        self._active.add(stream)
        return stream

    def begin_shutdown(self) -> None:
        """Start `shut_down` with the settings' grace, unless it has begun already."""
        if not self._closing and self._shutdown is None:
            grace = self._settings.shutdown_grace
            self._shutdown = asyncio.get_running_loop().create_task(self.shut_down(grace))

    async def shut_down(self, grace: float) -> int:
        """Take no more runs, wait up to `grace` seconds for those that go on, end the rest.

        Those that wait for a place, and the rest, get an error that says so. Returns how many
        had to be ended, once they have begun to clean up. May be called again with less grace.
        """
        self._closing = True
        self._admission.close(_shutting_down)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._admission.wait_idle()
        count = self.active
        for stream in list(self._active):
            stream.fail(failed(_shutting_down()))
        if count:
            logger.warning("shutdown: %d runs were ended after %g s", count, grace)
        return count


def _too_late(alive: weakref.ref[EventStream], seconds: float) -> None:
    # Said here and not where the run ends: a node may take its time to end, or not end at all.
    stream = alive()
    if stream is not None:
        late = RunTimeoutError(f"The run took longer than {seconds:g} s and was ended.")
        stream.fail(failed(late))


def _shutting_down() -> RunCancelledError:
    return RunCancelledError("The server is shutting down. Send the request again.")
