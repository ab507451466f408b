from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI

from launchpad.testing import ScriptedUpstream


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


@pytest.fixture
def client(upstream: ScriptedUpstream) -> Iterator[OpenAI]:
    with OpenAI(base_url=upstream.base_url, api_key="any", max_retries=0, timeout=10) as client:
        yield client
