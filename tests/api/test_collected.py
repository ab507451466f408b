"""A run as one JSON body, where collecting it fails."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from typing import Any

import pytest

from launchpad.api.collected import CollectedResponse
from launchpad.errors import OutputError
from launchpad.events import RunEvent, RunFailed, RunFinished, TextDelta
from launchpad.stream.mailbox import Mailbox
from launchpad.stream.run_stream import EventStream
from launchpad.wire.base import Failure


class Fails:
    """A builder that raises `error` at `place`."""

    def __init__(self, place: str, error: Exception) -> None:
        self.place = place
        self.error = error

    def add(self, events: Sequence[RunEvent]) -> None:
        if self.place == "add":
            raise self.error

    def body(self) -> bytes:
        raise self.error

    def failure(self, event: RunFailed) -> Failure:
        return Failure(event.status, {}, event.message.encode())


async def says(mailbox: Mailbox) -> None:
    await mailbox.put(TextDelta("N", "word"))
    await mailbox.put(RunFinished())


@pytest.mark.parametrize("place", ["add", "body"])
@pytest.mark.parametrize(
    ("error", "told", "logged"),
    [
        (OutputError("N", "cannot be told."), b"N: cannot be told.", False),
        (ZeroDivisionError("secret"), b"The server could not complete this request.", True),
    ],
)
def test_it_is_an_answer_and_a_bug_is_logged(
    place: str, error: Exception, told: bytes, logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def main() -> None:
        response = CollectedResponse(EventStream(says), Fails(place, error))
        await response({"type": "http"}, receive, send)

    asyncio.run(main())
    assert [message.get("status") for message in sent] == [500, None]
    assert sent[1]["body"] == told
    assert [record.exc_info is not None for record in caplog.records] == [True] * logged
