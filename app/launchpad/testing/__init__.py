"""What users need to test their own workflows, and what Launchpad's own tests use.

    override_model    swap the model of every agent node, for the calling task or thread
    ScriptedModel     a pydantic-ai model that does what the test says
    ScriptedUpstream  the same as a server: OpenAI's and Anthropic's wire, faults on command
    serve             a real server for workflows or any ASGI app
    open_stream, read_events   a stream's exact events, bytes and times
    Gate              states an order between a test and a server, without a clock
    steps             the words of a script: `Chunk`, `Delay`, `Die`, …

A test of a whole workflow, streamed over a socket, with a model that says what it is told:

    def test_greeting() -> None:
        with override_model(ScriptedModel("Good day!")), serve(WorkflowRegistry) as server:
            body = {"model": "greeter", "stream": True,
                    "messages": [{"role": "user", "content": "Hi"}]}
            events = read_events(f"{server.base_url}/chat/completions", body)
        assert events[-1].data == "[DONE]"

Names are imported on first use, so that what needs no pydantic-ai does not load it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launchpad.testing import steps
    from launchpad.testing.gate import Gate
    from launchpad.testing.override import override_model
    from launchpad.testing.records import ReceivedRequest
    from launchpad.testing.scripted_model import ScriptedModel
    from launchpad.testing.scripted_upstream import ScriptedUpstream
    from launchpad.testing.server import Server, serve
    from launchpad.testing.sse import Stream, open_stream, read_events
    from launchpad.testing.sse_parser import ReceivedEvent, SSEParser

__all__ = [
    "Gate",
    "ReceivedEvent",
    "ReceivedRequest",
    "SSEParser",
    "ScriptedModel",
    "ScriptedUpstream",
    "Server",
    "Stream",
    "open_stream",
    "override_model",
    "read_events",
    "serve",
    "steps",
]

_HOMES = {
    "Gate": "gate",
    "ReceivedEvent": "sse_parser",
    "ReceivedRequest": "records",
    "SSEParser": "sse_parser",
    "ScriptedModel": "scripted_model",
    "ScriptedUpstream": "scripted_upstream",
    "Server": "server",
    "Stream": "sse",
    "open_stream": "sse",
    "override_model": "override",
    "read_events": "sse",
    "serve": "server",
}


def __getattr__(name: str) -> object:
    if name == "steps":
        return import_module("launchpad.testing.steps")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
