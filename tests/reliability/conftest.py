"""A scripted upstream for every test here, and a count of what was there before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from launchpad.testing.scripted_upstream import ScriptedUpstream

from .flows import seen


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedUpstream]:
    """What `AgentConfig()` asks in these tests, with small buffers."""
    with ScriptedUpstream(send_buffer=16 * 1024) as scripted:
        monkeypatch.setenv("OPENAI_BASE_URL", scripted.base_url)
        yield scripted


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    seen.hold.set()
    seen.clear()
    yield
    seen.hold.set()
