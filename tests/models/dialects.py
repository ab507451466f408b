"""What the providers with SDKs of their own say on the wire, as little of it as makes an answer."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pytest
from tests.models.upstream import DONE, chunk, event

from launchpad.models.config import AgentConfig, ModelProvider
from launchpad.models.extras import to_install

P = ModelProvider
COUNTS = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
THOUGHT = {**COUNTS, "completion_tokens_details": {"reasoning_tokens": 3}}


@dataclass(frozen=True)
class Dialect:
    """How a provider begins an answer, says a word of it, and ends it (by length)."""

    provider: ModelProvider
    model: str
    first: bytes
    word: Any
    last: bytes
    thought: int = 0
    """How many of the five tokens it says were reasoning."""
    refusal: tuple[str, ...] = ()
    """Headers of an answer with 429."""

    def config(self, port: int, **changes: Any) -> AgentConfig:
        """Its model, on a port of this machine."""
        given: dict[str, Any] = {
            "model_provider": self.provider,
            "model_name": self.model,
            "base_url": f"http://127.0.0.1:{port}",
            # boto3 sends a key over TLS only; it has its others from the environment.
            "api_key": None if self.provider is P.BEDROCK else "secret",
        }
        return AgentConfig(**{**given, **changes})


def claude(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\n".encode() + event({"type": kind, **more})


def claude_word(word: str) -> bytes:
    return claude("content_block_delta", index=0, delta={"type": "text_delta", "text": word})


CLAUDE = Dialect(
    P.ANTHROPIC,
    "claude-opus-4-7",
    claude(
        "message_start",
        message={
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "claude-opus-4-7",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 7, "output_tokens": 1},
        },
    )
    + claude("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    claude_word,
    claude("content_block_stop", index=0)
    + claude(
        "message_delta",
        delta={"stop_reason": "max_tokens", "stop_sequence": None},
        usage={"output_tokens": 5},
    )
    + claude("message_stop"),
)


def gemini(text: str, **more: Any) -> bytes:
    said = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    counts = more.pop("usageMetadata", None)
    body = {"candidates": [{**said, **more}], "modelVersion": "gemini", "responseId": "r"}
    return event(body if counts is None else {**body, "usageMetadata": counts})


GEMINI = Dialect(
    P.GOOGLE_GEMINI,
    "gemini-2.5-flash",
    b"",
    gemini,
    gemini(
        "",
        finishReason="MAX_TOKENS",
        usageMetadata={
            "promptTokenCount": 7,
            "candidatesTokenCount": 2,
            "thoughtsTokenCount": 3,
            "totalTokenCount": 12,
        },
    ),
    thought=3,
)


def chatty(word: str) -> bytes:
    return event(chunk({"role": "assistant", "content": word}))


GROQ = Dialect(
    P.GROQ,
    "llama-3.3-70b-versatile",
    b"",
    chatty,
    event(chunk({}, "length", x_groq={"id": "x", "usage": THOUGHT})) + DONE,
    thought=3,
)
MISTRAL = Dialect(
    P.MISTRAL,
    "mistral-large-latest",
    b"",
    chatty,
    event(chunk({"content": ""}, "length", usage=COUNTS)) + DONE,
)


def frame(payload: dict[str, Any], **headers: str) -> bytes:
    """A message of AWS's event streams (`application/vnd.amazon.eventstream`)."""
    head = b""
    for name, value in {"message_type": "event", **headers}.items():
        key, text = f":{name.replace('_', '-')}".encode(), value.encode()
        head += bytes([len(key)]) + key + b"\x07" + struct.pack(">H", len(text)) + text
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(head) + len(body), len(head))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    return prelude + head + body + struct.pack(">I", zlib.crc32(prelude + head + body))


def nova(kind: str, **payload: Any) -> bytes:
    return frame(payload, event_type=kind)


def nova_word(word: str) -> bytes:
    return nova("contentBlockDelta", contentBlockIndex=0, delta={"text": word})


BEDROCK = Dialect(
    P.BEDROCK,
    "amazon.nova-lite-v1:0",
    nova("messageStart", role="assistant"),
    nova_word,
    nova("contentBlockStop", contentBlockIndex=0)
    + nova("messageStop", stopReason="max_tokens")
    + nova(
        "metadata",
        usage={"inputTokens": 7, "outputTokens": 5, "totalTokens": 12},
        metrics={"latencyMs": 5},
    ),
    refusal=("x-amzn-ErrorType: ThrottlingException",),
)


def _param(dialect: Dialect, sdk: str, extra: str) -> Any:
    missing = find_spec(sdk.partition(".")[0]) is None or find_spec(sdk) is None
    reason = f"{sdk} is not installed: {to_install(extra)}"
    return pytest.param(
        dialect, id=dialect.provider.value, marks=pytest.mark.skipif(missing, reason=reason)
    )


DIALECTS = [
    _param(CLAUDE, "anthropic", "anthropic"),
    _param(GEMINI, "google.genai", "google"),
    _param(GROQ, "groq", "groq"),
    _param(MISTRAL, "mistralai", "mistral"),
    _param(BEDROCK, "boto3", "bedrock"),
]
