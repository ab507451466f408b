"""The real model inside the machine, or the reason why it is not there."""

from __future__ import annotations

import importlib.util

import pytest

from launchpad.models.local.weights import find_weights


@pytest.fixture(scope="session")
def local_model() -> str:
    """The model's name. Skips where it cannot run."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed: uv sync installs it")
    if find_weights() is None:
        pytest.skip("the weights are not on this machine: uv sync installs them")
    return "SmolLM2-135M-Instruct"
