"""What pydantic-ai costs for one token, in process: no server, no socket, a null FunctionModel.

Launchpad's own cost is what a request takes above this. Run: `python -m bench.floor [RUNS]`;
prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import uvloop
from pydantic_ai import Agent
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import ModelMessage, ModelRequest
from pydantic_ai.models.function import AgentInfo, FunctionModel


async def _null(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
    yield " tok"


MODEL = FunctionModel(stream_function=_null)
AGENT = Agent(MODEL)


async def _agent_run() -> float:
    started = time.perf_counter()
    first = 0.0
    async with AGENT.run_stream("Why is the sky blue?") as result:
        async for _ in result.stream_text(delta=True, debounce_by=None):
            first = first or time.perf_counter() - started
    return first


async def _direct_run() -> float:
    started = time.perf_counter()
    first = 0.0
    request = [ModelRequest.user_text_prompt("Why is the sky blue?")]
    async with model_request_stream(MODEL, request) as stream:
        async for _ in stream:
            first = first or time.perf_counter() - started
    return first


async def _measure(run: Callable[[], Awaitable[float]], runs: int) -> tuple[float, float]:
    for _ in range(runs // 5 + 1):
        await run()
    before = time.process_time()
    firsts = sorted([await run() for _ in range(runs)])
    return (time.process_time() - before) / runs * 1e3, firsts[runs // 2] * 1e3


async def main(runs: int) -> dict[str, float]:
    """CPU and time to the first token, in ms, of a run and of a direct request."""
    agent_cpu, agent_first = await _measure(_agent_run, runs)
    direct_cpu, direct_first = await _measure(_direct_run, runs)
    return {
        "`agent.run_stream`, null model: CPU a run, ms": agent_cpu,
        "`agent.run_stream`, null model: first token, ms": agent_first,
        "`model_request_stream`, null model: CPU a run, ms": direct_cpu,
        "`model_request_stream`, null model: first token, ms": direct_first,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))))
