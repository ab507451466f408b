"""Whether a whole chunk is what its readers, pydantic-ai among them, can read. Sync, pure.

Both readers get the same chunk, so it is looked at once, before either has it. What only says
something about the answer (its id, its token counts, probabilities) and is of another type than
OpenAI's is left out: the answer is whole without it. Of the answer itself nothing may be missing.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from launchpad.models.openai_compatible.json_values import as_object

__all__ = ["is_readable"]


class _Function(msgspec.Struct):
    pass


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _Delta(msgspec.Struct):
    refusal: str | None = None
    tool_calls: list[_ToolCall | None] | None = None


class _Token(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int] | None = None


class _Probability(_Token, kw_only=True):
    top_logprobs: list[_Token]


class _Probabilities(msgspec.Struct):
    content: list[_Probability] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: _Probabilities | None = None


class _Details(msgspec.Struct):
    pass


class _Usage(msgspec.Struct):
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


_Seconds = Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799)]
"""Since 1970, to the year 9999."""


class _Chunk(msgspec.Struct):
    choices: list[_Choice]
    id: str | None = None
    model: str | None = None
    created: _Seconds | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    usage: _Usage | None = None
    moderation: dict[str, Any] | None = None


_LABELS: dict[str, Any] = {
    "id": str,
    "model": str,
    "created": _Seconds,
    "service_tier": str,
    "system_fingerprint": str,
    "moderation": dict[str, Any],
}
_decode = msgspec.json.Decoder(_Chunk).decode
_DETAILS = ("prompt_tokens_details", "completion_tokens_details")


def is_readable(chunk: dict[str, Any], data: bytes) -> bool:
    """Whether all parts of an answer in `chunk` can be read; its `choices` are objects in a list.

    `data` is the JSON that it came as, which is read once more: that is cheaper than to look.

    Sets what is said of the answer to None in place, where that is of another type.
    """
    try:
        _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _settled(chunk)
    return True


def _settled(chunk: dict[str, Any]) -> bool:
    for name, kind in _LABELS.items():
        if not _fits(chunk.get(name), kind):
            chunk[name] = None
    usage = as_object(chunk.get("usage"))
    if not usage and "usage" in chunk:
        chunk["usage"] = None
    for name in _DETAILS:
        if not _fits(usage.get(name), _Details):
            usage[name] = None
    for choice in chunk["choices"]:
        if not _fits(choice.get("logprobs"), _Probabilities):
            choice["logprobs"] = None
        _settle_empty(choice, "delta", "finish_reason")
        delta = as_object(choice.get("delta"))
        _settle_empty(delta, "refusal", "tool_calls")
        if isinstance(delta.get("tool_calls"), dict):
            # One call, from Hugging Face's TGI.
            delta["tool_calls"] = [delta["tool_calls"]]
    # What is left is the answer.
    return _fits(chunk, _Chunk)


def _settle_empty(part: dict[str, Any], *names: str) -> None:
    """Nothing is nothing, however it is said: `false`, `""`."""
    for name in names:
        if not part.get(name, True):
            part[name] = None


def _fits(value: object, kind: Any) -> bool:
    if value is None:
        return True
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
