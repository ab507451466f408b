"""The form of a chunk that says one piece of text and nothing else. Sync, pure."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

__all__ = ["decode_plain"]

_Nothing = Literal["", None]
_NoneOf = Annotated[list[Any], msgspec.Meta(max_length=0)] | None


class _PlainDelta(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    content: str
    role: str | None = None
    refusal: _Nothing = None
    tool_calls: _NoneOf = None
    function_call: None = None
    reasoning: _Nothing = None
    reasoning_content: _Nothing = None
    reasoning_details: _NoneOf = None
    annotations: _NoneOf = None
    audio: None = None


class _PlainChoice(msgspec.Struct, gc=False):
    delta: _PlainDelta
    index: int = 0
    finish_reason: None = None
    logprobs: None = None
    error: None = None


class _PlainChunk(msgspec.Struct, gc=False):
    choices: tuple[_PlainChoice]
    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    usage: None = None
    error: None = None
    moderation: None = None


decode_plain: Final = msgspec.json.Decoder(_PlainChunk).decode
"""The chunk; raises `msgspec.DecodeError` where it says anything else."""
