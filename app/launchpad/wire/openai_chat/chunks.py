"""A stream's chunks as bytes: what is constant is encoded once, only the words are escaped."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import msgspec

from launchpad.events import FinishReason, Usage
from launchpad.sse.frame import (
    MAX_LINE,
    escape_json,
    escape_separators,
    join_surrogates,
    split_text,
)

__all__ = [
    "ChoiceTemplate",
    "ChunkTemplate",
    "completion_id",
    "to_json",
    "usage_object",
]

_OBJECT = "chat.completion.chunk"


def completion_id(run_id: str) -> str:
    """OpenAI's form of a run's id."""
    return f"chatcmpl-{run_id}"


def usage_object(usage: Usage) -> dict[str, Any]:
    """`usage` in OpenAI's terms."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def to_json(value: object) -> bytes:
    """JSON text that is safe on one SSE line; lone surrogates become U+FFFD."""
    try:
        return escape_separators(msgspec.json.encode(value))
    except UnicodeEncodeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return escape_separators(join_surrogates(text).encode())


class ChunkTemplate:
    """The constant parts of one stream: id, object, created, model.

    `include_usage` puts `"usage": null` on every chunk but the last, as OpenAI does.
    """

    def __init__(self, *, run_id: str, created: int, model: str, include_usage: bool) -> None:
        self.run_id = run_id
        self.include_usage = include_usage
        head = to_json(
            {"id": completion_id(run_id), "object": _OBJECT, "created": created, "model": model}
        )
        self.head = b"data: " + head[:-1] + b',"choices":['
        self.end = b',"usage":null' if include_usage else b""

    def usage(self, usage: Usage) -> bytes:
        """The chunk that follows all choices."""
        return self.head + b'],"usage":' + to_json(usage_object(usage)) + b"}\n\n"


class ChoiceTemplate:
    """The chunks of one choice."""

    def __init__(self, template: ChunkTemplate, index: int) -> None:
        self._end = template.end
        self._head = template.head + b'{"index":%d,"delta":' % index

    def head(self, field: str) -> bytes:
        """All that precedes the JSON string of `field` in a chunk of words."""
        return self._head + b'{"%b":' % field.encode()

    def opening(self, delta: bytes) -> bytes:
        """All of a chunk around the JSON text of `delta` that precedes its `tail`."""
        return self._head + delta[:-1]

    def tail(self, node: str | None, finish_reason: FinishReason | None = None) -> bytes:
        """All that follows a delta's last value."""
        return b"}" + self._close(node, finish_reason)

    def chunk(
        self, delta: bytes, node: str | None = None, finish_reason: FinishReason | None = None
    ) -> bytes:
        """One whole chunk around the JSON text of `delta`."""
        return self._head + delta + self._close(node, finish_reason)

    def words(self, field: str, text: str, node: str) -> bytes:
        """`text` in as many chunks as keep every line within 64 KiB."""
        head, tail = self.head(field), self.tail(node)
        room = MAX_LINE - len(head) - len(tail)
        return b"".join([head + escape_json(piece) + tail for piece in split_text(text, room)])

    def _close(self, node: str | None, finish_reason: FinishReason | None) -> bytes:
        reason = b"null" if finish_reason is None else b'"%b"' % finish_reason.encode()
        speaker = b"" if node is None else _speaker(node)
        return b',"finish_reason":' + reason + b"}]" + self._end + speaker + b"}\n\n"


@lru_cache(maxsize=256)
def _speaker(node: str) -> bytes:
    return b',"launchpad":{"node":%b}' % escape_json(node)
