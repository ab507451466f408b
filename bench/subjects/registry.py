"""The subjects by name. A server is a program; a subject is one way to ask it.

Subjects of one server (Launchpad's workflows) share it while it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.load import Call

__all__ = ["SUBJECTS", "Subject"]

QUESTION = "Why is the sky blue?"


@dataclass(frozen=True)
class Subject:
    """One way to ask a server. `title` is its name in the table.

    `measures` names what makes sense for it, of flat, one_token, paced, ramp, idle_memory,
    structured and workers.
    """

    name: str
    title: str
    server: str
    request: Callable[[int, str], Call]
    measures: Sequence[str] = ("one_token", "flat", "paced", "ramp", "idle_memory")
    default: bool = True
    idle_streams: int = 800
    """How many open at once: the OpenAI SDK's client has 1,000 connections, less 100 to begin."""

    def call(self, port: int, mode: str) -> Call:
        """Its request while the upstream is in that mode."""
        return self.request(port, mode)


def _chat(model: str, **more: object) -> Callable[[int, str], Call]:
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    return lambda port, mode: Call.post(port, "/v1/chat/completions", body | more)


def _message(port: int, mode: str) -> Call:
    return Call.post(port, "/chat/stream", {"message": QUESTION})


def _bare(port: int, mode: str) -> Call:
    return Call.post(port, f"/?{mode}", {"message": QUESTION})


_ALL = ("one_token", "flat", "paced", "ramp", "idle_memory")
_JSON = ("structured",)

SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        Subject("upstream", "the upstream itself", "", _chat("bench"), ("one_token",)),
        Subject("bare", "bare uvicorn, ready-made bytes", "bare", _bare, _ALL, idle_streams=4900),
        Subject("relay", "bare uvicorn, upstream's bytes unread", "relay", _chat("bench")),
        Subject("litellm", "LiteLLM's proxy", "litellm", _chat("bench")),
        Subject("agent", "pydantic-ai agent behind FastAPI", "agent", _message),
        Subject("hayhooks", "Hayhooks", "hayhooks", _chat("bench")),
        Subject("tutorial", "OpenAI SDK behind FastAPI", "tutorial", _message),
        Subject(
            "tutorial-sync",
            "the same with the blocking SDK",
            "tutorial-sync",
            _message,
            ("one_token", "flat"),
            default=False,
        ),
        Subject("launchpad", "Launchpad, agent node", "launchpad", _chat("text"),
                (*_ALL, "workers"), idle_streams=4900),
        Subject("launchpad-chat", "Launchpad, `chat`", "launchpad", _chat("chat"), _ALL,
                idle_streams=4900),
        Subject("launchpad-plain", "Launchpad, node without agent", "launchpad", _chat("plain"),
                ("one_token",)),
        Subject("launchpad-json", "Launchpad, structured fragments", "launchpad",
                _chat("structured"), _JSON),
        Subject("launchpad-text-json", "Launchpad, the same deltas as text", "launchpad",
                _chat("text"), _JSON),
        Subject("launchpad-valid-json", "Launchpad, `valid_json_chunks`", "launchpad",
                _chat("structured", stream_options={"valid_json_chunks": True}), _JSON),
        Subject("launchpad-debounce", "Launchpad, agent node, default debounce",
                "launchpad-debounce", _chat("text"), ("one_token", "flat", "paced", "ramp")),
        Subject("launchpad-chat-debounce", "Launchpad, `chat`, default debounce",
                "launchpad-debounce", _chat("chat"), ("one_token", "flat", "paced", "ramp")),
        Subject("launchpad-valid-json-debounce", "Launchpad, `valid_json_chunks`, default debounce",
                "launchpad-debounce",
                _chat("structured", stream_options={"valid_json_chunks": True}), _JSON),
    )
}  # fmt: skip
