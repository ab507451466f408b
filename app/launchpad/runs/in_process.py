"""`Runs`: the runs of this process, from admission to shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref

from launchpad.errors import LaunchpadError, RunCancelledError, RunTimeoutError
from launchpad.runs.admission import Admission, Limits
from launchpad.settings import Settings, use_settings
from launchpad.stream.failure import failed
from launchpad.stream.mailbox import Mailbox
from launchpad.stream.run_stream import EventStream, Producer

__all__ = ["Runs"]


class Runs:
    """Starts runs within the limits, knows those that go on, and ends them when it must."""

    def __init__(self, settings: Settings) -> None:
        self._admission = Admission(
            Limits(
                runs=settings.max_concurrent_runs,
                runs_per_key=settings.max_concurrent_runs_per_key,
                queued=settings.max_queued_runs,
                queue_timeout=settings.queue_timeout,
            )
        )
        self._settings = settings
        self._timeout = settings.request_timeout
        self._active: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self._closing = False

    @property
    def active(self) -> int:
        """Runs that have a place now."""
        return self._admission.running

    def start(self, produce: Producer, *, run_id: str, key: str | None = None) -> EventStream:
        """The stream of a run that begins, once it is read, when there is a place for it.

        A full server, a run longer than `request_timeout` and a shutdown end the stream with
        `RunFailed`, like every failure. `key` names the API key whose places it takes.
        """

        async def admitted(mailbox: Mailbox) -> None:
            use_settings(self._settings)
            try:
                if self._closing:
                    raise _shutting_down()
                await self._admission.enter(key)
            except LaunchpadError as error:
                await mailbox.put(failed(error))
                return
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._timeout):
                    await produce(mailbox)
            except TimeoutError:
                # Ours: the run itself turns everything else into `RunFailed`.
                late = RunTimeoutError(
                    f"The run took longer than {time.monotonic() - began:.0f} s and was ended."
                )
                mailbox.close(failed(late))
            finally:
                self._admission.leave(key)

        stream = EventStream(admitted, name=run_id)
        self._active.add(stream)
        return stream

    async def shut_down(self, grace: float) -> int:
        """Take no more runs, wait up to `grace` seconds for those that go on, end the rest.

        Each of the rest gets an error event. Returns how many had to be ended.
        """
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._admission.wait_idle()
        rest = [stream for stream in list(self._active) if not stream.finished]
        for stream in rest:
            stream.fail(failed(_shutting_down()))
        return len(rest)


def _shutting_down() -> RunCancelledError:
    return RunCancelledError("The server is shutting down. Send the request again.")
