"""The JavaScript clients on the real model; `node/real_model.mjs` has what they ask."""

from __future__ import annotations

import pytest

from launchpad.testing.server import Server

from .javascript import run
from .programs import Told

pytestmark = [pytest.mark.local_model, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def told(local_server: Server) -> Told:
    return run("real_model.mjs", baseURL=local_server.base_url)


@pytest.mark.parametrize("client", ["openai", "aiSdk", "eventsourceParser"])
def test_streams_more_than_once(told: Told, client: str) -> None:
    assert len([piece for piece in told[client] if piece]) > 2
