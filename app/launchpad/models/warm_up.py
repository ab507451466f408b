"""What the first request would otherwise pay for: imports that pydantic-ai leaves to its first run.

It loads its event loop's backend and its price tables (0.3 s) when an agent first runs. A run
with a model that says one word, at start-up, takes that off the first client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models.function import AgentInfo

__all__ = ["exercise_pydantic_ai"]


async def exercise_pydantic_ai() -> None:
    """Run an agent, and a request without one, on a model inside this process."""
    from pydantic_ai import Agent
    from pydantic_ai.direct import model_request_stream
    from pydantic_ai.messages import ModelRequest
    from pydantic_ai.models.function import FunctionModel

    async def one_word(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        del messages, info
        yield "warm"

    model = FunctionModel(stream_function=one_word)
    async with Agent(model, name="warm-up").run_stream("warm up") as result:
        await result.get_output()
    async with model_request_stream(model, [ModelRequest.user_text_prompt("warm up")]) as answer:
        async for _ in answer:
            pass
