"""Swap the model of every agent node for a test, without touching the workflow."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

from pydantic_ai.models import Model

from launchpad.models.override import model_override

__all__ = ["override_model"]

ModelT = TypeVar("ModelT", bound=Model)


@contextmanager
def override_model(model: ModelT) -> Generator[ModelT]:
    """Inside the block, every agent node asks `model`, whatever its `AgentConfig` names.

        with override_model(ScriptedModel("Hello!")) as model:
            result = MyWorkflow().run({"messages": [{"role": "user", "content": "Hi"}]})
        assert model.prompts[0].user_text == "Hi"

    Any pydantic-ai model will do: `TestModel`, `FunctionModel` or a real one. No key and no
    extra of the configured provider is needed. It holds for this context (thread or task) and
    those made from it: enter it before `launchpad.testing.serve`, not after.
    """
    token = model_override.set(model)
    try:
        yield model
    finally:
        model_override.reset(token)
