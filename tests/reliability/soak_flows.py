"""What `soak.py` serves, with a workflow that counts what the server holds."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
from enum import Enum
from pathlib import Path
from typing import Any

from tests.reliability.flows import chain

from launchpad.core.nodes.agent import AgentConfig, RetryPolicy
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.task import TaskContext


class Talk(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig()


class Direct(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig()


class Retry(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(retry=RetryPolicy(attempts=2, backoff=0.01))


class Census(Node):
    """Says what there is, as JSON: tasks, sockets, memory in use and its peak, in KiB."""

    async def process(self, task_context: TaskContext) -> Any:
        gc.collect()
        return json.dumps({"tasks": len(asyncio.all_tasks()), **_of_the_process()})


def _of_the_process() -> dict[str, int]:
    # glibc keeps what was freed; what it gives back when asked is not in use.
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)
    status = Path("/proc/self/status").read_text()
    return {
        "sockets": _sockets(list(Path("/proc/self/fd").iterdir())),
        "memory": int(status.partition("VmRSS:")[2].split()[0]),
        "peak": int(status.partition("VmHWM:")[2].split()[0]),
    }


def _sockets(links: list[Path]) -> int:
    found = 0
    for link in links:
        try:
            found += str(link.readlink()).startswith("socket:")
        except FileNotFoundError:
            continue  # the listing's own descriptor
    return found


class Soaked(Enum):
    TALK = chain(Talk)
    DIRECT = chain(Direct)
    RETRY = chain(Retry)
    CENSUS = chain(Census)
