"""The model under test: one for the whole folder, in a process of its own."""

import importlib.util
from collections.abc import Iterator

import pytest

from launchpad.models.local.server import LocalServer
from launchpad.models.local.weights import find_weights
from launchpad.settings import Settings


def why_no_model() -> str | None:
    """Why the local model cannot run here, or None."""
    if importlib.util.find_spec("xllamacpp") is None:
        return "xllamacpp is not installed"
    return None if find_weights() is not None else "the weights are not on this machine"


@pytest.fixture(scope="session")
def local_server() -> Iterator[LocalServer]:
    reason = why_no_model()
    if reason is not None:
        pytest.skip(reason)
    server = LocalServer(Settings(local_parallel=2, local_context=1024))
    yield server
    server.stop()
