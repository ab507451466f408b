"""A scripted upstream for every test here, and a count of what was there before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from launchpad.testing.scripted_upstream import ScriptedUpstream

from .flows import seen


@pytest.fixture(scope="module")
def shared_upstream() -> Iterator[ScriptedUpstream]:
    """What `AgentConfig()` asks in these tests, with small buffers."""
    with (
        ScriptedUpstream(send_buffer=16 * 1024) as scripted,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("OPENAI_BASE_URL", scripted.base_url)
        yield scripted


@pytest.fixture
def upstream(shared_upstream: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """The same, with no script and no request of an earlier test."""
    shared_upstream.wait_idle()
    shared_upstream.clear()
    shared_upstream.requests.clear()
    yield shared_upstream
    shared_upstream.clear()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    seen.hold.set()
    seen.clear()
    yield
    seen.hold.set()
